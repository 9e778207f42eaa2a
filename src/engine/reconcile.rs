//! What a monitor that was killed, a command that was killed and a crash of the machine leave, seen to by the next command.

use std::fs;

use anyhow::Result;
use rustix::fs::FlockOperation;

use super::state::{State, Status};
use super::{
    Engine, locks, log, make_directory, membership, network, now, pasta, remove, rename, replace, root, rootless,
    volume,
};
use crate::container;
use crate::error::{Attempt, sentence};

/// Beside a container's other files below `/run`: it could not be released from its networks, or a change of these not be settled, and a
/// command has said so. Those after it try again, and have their own things to tell.
const TOLD: &str = "release-failed";

/// Looks at what may have been left. It costs as much as there are containers running.
pub(super) fn all(engine: &Engine) -> Result<()> {
    let mut replaced = Vec::new();
    for entry in fs::read_dir(&engine.run).into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().into_string() else { continue };
        if let Some(id) = rename::NOTES.id_of(&id) {
            rename::settle(engine, id)?;
        } else if let Some(id) = replace::NOTES.id_of(&id) {
            replaced.push(id.to_owned());
        } else if id.len() == 64 && !locks::is_held(&entry.path().join("monitor")) {
            let was_told = entry.path().join(TOLD).exists();
            one(engine, &id).or_else(|error| if was_told { Ok(()) } else { Err(error) })?;
        } else if membership::is_unsettled(&entry.path()) {
            settle_networks(engine, &id)?;
        }
    }
    volume::unmount_strays(engine)?;
    engine.remove_strays();
    half_made(engine)?;
    // Whose name was given back is not replaced.
    replaced.iter().try_for_each(|id| replace::settle(engine, id))?;
    rootless::network::reconcile(engine)
}

/// Where that fails, it is told once: what a container has made of its links is not to keep everybody from everything, its removal as well.
fn settle_networks(engine: &Engine, id: &str) -> Result<()> {
    let told = engine.running(id).join(TOLD);
    let was_told = told.exists();
    match membership::settle(engine, id) {
        Err(_) if was_told => Ok(()),
        Err(error) => fs::write(&told, "").attempt(|| format!("make {told:?}")).and(Err(error)),
        Ok(()) if was_told => fs::remove_file(&told).attempt(|| format!("remove {told:?}")),
        Ok(()) => Ok(()),
    }
}

/// The machine was started since: nothing runs, whatever the files say.
pub(super) fn after_boot(engine: &Engine) -> Result<()> {
    for id in engine.ids()? {
        let Some(_alone) = locks::try_alone(&engine.directory(&id)) else { continue };
        clean(engine, &id)?;
    }
    engine.release_stray_names();
    // Last: it says that this was done.
    make_directory(&engine.run.join("runtime"))
}

/// Directories without a record that nobody is working on.
fn half_made(engine: &Engine) -> Result<()> {
    let containers = engine.containers();
    let without: Vec<String> = fs::read_dir(&containers)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|id| !engine.has_record(id))
        .collect();
    if without.is_empty() {
        return Ok(());
    }
    // Whoever is making one between mkdir(2) and flock(2) has this lock.
    let _nobody_makes_any = locks::wait(&containers, FlockOperation::LockExclusive)?;
    for id in without {
        if let Some(_alone) = locks::try_alone(&engine.directory(&id))
            && !engine.has_record(&id)
        {
            end_all(engine, &id)?;
            remove::remains(engine, &id);
        }
    }
    engine.release_stray_names();
    Ok(())
}

/// A container whose monitor may be gone.
pub(super) fn one(engine: &Engine, id: &str) -> Result<()> {
    let directory = engine.directory(id);
    // Somebody who starts or removes it sees to it, too.
    let Some(_alone) = locks::try_alone(&directory) else {
        if !directory.exists() {
            end_all(engine, id)?;
        }
        return Ok(());
    };
    if locks::is_held(&engine.running(id).join("monitor")) {
        return Ok(());
    }
    clean(engine, id)
}

/// Gives back what a container without a monitor has of the host, and says so in its state; it is locked.
///
/// Its processes are killed: nobody holds their streams any more, and nobody would hear how they end.
pub(super) fn clean(engine: &Engine, id: &str) -> Result<()> {
    let Ok(record) = engine.record(id) else { return end_all(engine, id) };
    container::delete(&engine.host(), id, true)?;
    let directory = engine.directory(id);
    let mut errors = Vec::new();
    let released = network::release(engine, &record);
    errors.extend(end_processes(engine, id).err());
    errors.extend(remove_if(engine, id, released).err());
    errors.extend(root::unmount(&directory.join("rootfs")).err());
    errors.extend(log::tidy(&directory, id).err());
    let mut state = match State::read(&directory) {
        Ok(state) => state,
        // What a crash of the machine made of it: no other container is to suffer from that.
        Err(_) => {
            State::unknown().write(&directory)?;
            State::unknown()
        }
    };
    if matches!(state.status, Status::Running | Status::Restarting | Status::Paused) {
        state.status = Status::Exited;
        state.pid = 0;
        state.exit_code = 137;
        state.finished_at = now();
        state.error = "the container's monitor was killed, or the machine was started again".into();
        // One that goes has no new state: who is killed before it is gone leaves it to be seen to again.
        if !record.host_config.auto_remove {
            state.write(&directory)?;
        }
        engine.happened(&record, "die", &[("exitCode", "137".into())]);
        if record.host_config.auto_remove {
            errors.extend(engine.erase(&record, true).err());
        }
    }
    if let Some(error) = errors.first() {
        anyhow::bail!("what was left of container {} can't all be removed: {}", record.short(), sentence(error));
    }
    Ok(())
}

/// Ends whatever runs of what is no container any more, and gives back what it has.
fn end_all(engine: &Engine, id: &str) -> Result<()> {
    end_processes(engine, id)?;
    let released = match engine.networks()?.has_records(id) {
        Ok(true) => engine.at_networks(|networks| networks.detach(id, None)),
        looked => looked.map(drop),
    };
    remove_if(engine, id, released)
}

fn end_processes(engine: &Engine, id: &str) -> Result<()> {
    container::delete(&engine.host(), id, true)?;
    pasta::end(engine, id)?;
    root::unmount(&engine.running(id).join("shm"))?;
    volume::unmount(engine, id)
}

/// Removes what is below `/run`. It stays where a place in a network could not be given back: by that each command comes here again, and
/// by the note it knows that somebody was told.
fn remove_if(engine: &Engine, id: &str, released: Result<()>) -> Result<()> {
    let running = engine.running(id);
    if released.is_err() {
        let told = running.join(TOLD);
        make_directory(&running)?;
        fs::write(&told, "").attempt(|| format!("make {told:?}"))?;
        return released;
    }
    match fs::remove_dir_all(&running) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).map_err(|error| anyhow::anyhow!("remove {running:?}: {error}"))
        }
        _ => Ok(()),
    }
}
