use std::process::{Child, Command, Stdio};

use crate::harness::{Place, ctn, until};

/// A command whose nth call of a kind on one file comes seconds later than it would (strace(1)).
fn late(place: &Place, call: &str, number: usize, seconds: u32, path: &str, arguments: &[&str]) -> Child {
    traced(place, &["-P", path], &format!("{call}:delay_enter={seconds}000000:when={number}"), arguments)
}

/// A command under strace(1) with something injected.
fn traced(place: &Place, flags: &[&str], injected: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null"]).args(flags);
    command.args(["-e", &format!("trace={}", injected.split(':').next().unwrap())]);
    command.args(["-e", &format!("inject={injected}")]).arg(ctn());
    crate::harness::prepare(&mut command, &place.path, arguments);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Who wants a name looks whose it is, and gives back what is nobody's: by then it may be somebody's.
#[test]
fn a_name_that_is_given_meanwhile_is_not_taken() {
    let place = Place::new();
    let id = place.ctn(&["create", "--name", "web", "--network", "none", "box", "true"]).trim().to_owned();
    let directory = place.store().join("containers").join(&id).display().to_string();
    // It has the new name already, and its record the old one.
    let rename = late(&place, "rename", 1, 2, &format!("{directory}/.container.json.new"), &["rename", "web", "site"]);
    until("the new name is claimed", || place.store().join("names/site").is_symlink());
    // The record is read, and the container looked at when the rename is done; the first look is for what is left of one.
    let create =
        late(&place, "flock", 2, 4, &directory, &["create", "--name", "site", "--network", "none", "box", "true"]);
    let [rename, create] = [rename, create].map(|command| command.wait_with_output().unwrap());
    assert!(rename.status.success(), "{rename:?}");
    let errors = String::from_utf8_lossy(&create.stderr);
    assert!(errors.contains("is already in use"), "{create:?}");
    assert_eq!(place.field("site", ".Id"), id);
    place.ctn(&["rm", "site"]);
    place.assert_nothing_left();
}

#[test]
fn fifty_at_a_time() {
    let place = Place::new();
    let children: Vec<_> = (0..50)
        .map(|number| {
            place.spawn(&[
                "run",
                "--rm",
                "--network",
                "none",
                "box",
                "sh",
                "-c",
                &format!("echo {number}; exit {number}"),
            ])
        })
        .collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(number as i32), "{errors}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{number}\n"));
    }
    place.assert_nothing_left();
}

#[test]
fn one_name_is_given_once() {
    let place = Place::new();
    let children: Vec<_> =
        (0..8).map(|_| place.spawn(&["create", "--name", "one", "--network", "none", "box"])).collect();
    let made = children.into_iter().filter(|_| true).map(|child| child.wait_with_output().unwrap().status.success());
    assert_eq!(made.filter(|made| *made).count(), 1);
    assert_eq!(place.ctn(&["ps", "-aq"]).lines().count(), 1);
    // Started by many, it runs once.
    let children: Vec<_> = (0..8).map(|_| place.spawn(&["start", "one"])).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    place.ctn(&["rm", "-f", "one"]);
    place.assert_nothing_left();
}

/// Whoever waits for an end waits for that of the run that was there.
#[test]
fn those_who_start_and_stop_at_once_come_to_their_end() {
    let place = Place::new();
    place.ctn(&["create", "--name", "web", "--network", "none", "box", "sleep", "1000"]);
    let at_once = |commands: &[&[&str]]| {
        let mut children: Vec<Child> = commands.iter().map(|command| place.spawn(command)).collect();
        for child in &mut children {
            until("the command ends", || child.try_wait().unwrap().is_some());
        }
    };
    at_once(&[&["start", "web"][..]; 8]);
    assert_eq!(place.field("web", ".State.Status"), "running");
    for _ in 0..10 {
        at_once(&[
            &["restart", "-t", "0", "web"],
            &["stop", "-t", "0", "web"],
            &["start", "web"],
            &["restart", "-t", "0", "web"],
        ]);
    }
    place.ctn(&["start", "web"]);
    at_once(&[&["restart", "-t", "0", "web"], &["rm", "-f", "web"], &["restart", "-t", "0", "web"]]);
    place.outcome(&["rm", "-f", "web"]);
    place.assert_nothing_left();
}

/// A monitor that is just being started hears nobody, and lives for as long as its container. What was running when a command looked has
/// ended since.
#[test]
fn who_ends_a_container_does_not_wait_for_the_end_of_the_next_run() {
    let place = Place::new();
    for ending in [&["stop", "-t", "0", "web"][..], &["rm", "-f", "web"]] {
        let id = place.detached("web", &[], "exec sleep 1000");
        let life = place.run().unwrap().join(&id).join("monitor").display().to_string();
        // It is opened by who looks after what was left, and to see how the container stands.
        let mut ending = late(&place, "openat", 3, 2, &life, ending);
        place.ctn(&["kill", "web"]);
        let start = traced(&place, &[], "socketpair:delay_enter=4000000:when=1", &["start", "web"]);
        until("the command ends", || ending.try_wait().unwrap().is_some());
        start.wait_with_output().unwrap();
        place.outcome(&["rm", "-f", "web"]);
        place.assert_nothing_left();
    }
}
