//! Plans: whatever is planned can be shown and carried out in order, and whatever is refused is refused by its name.

use std::ffi::CStr;
use std::path::Path;
use std::sync::LazyLock;

use crate::cgroup::{self, devices};
use crate::error::sentence;
use crate::plan::namespaces::Kind;
use crate::plan::step::{Destination, Step};
use crate::plan::{Host, Plan, container, exec, show};
use crate::spec::{Process, Spec, check, load};

/// The properties that an error about a configuration may begin with.
const PLACES: [&str; 9] =
    ["ociVersion", "root", "process", "hostname", "domainname", "mounts", "hooks", "annotations", "linux"];

/// What a configuration's process is run in.
static DOCKER: LazyLock<Spec> = LazyLock::new(|| {
    let text = include_str!("../../tests/data/configs/docker-default.json");
    load::parse(text.as_bytes()).expect("docker's configuration can be read")
});

/// A host that depends on no machine.
pub(crate) fn host() -> Host {
    Host {
        id: "web".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        is_root: true,
        privileged: true,
        initial_user_namespace: true,
        shared_namespaces: Vec::new(),
        capabilities: (1 << 41) - 1,
        has_kcore: true,
        cgroup_mount: Some(c"/sys/fs/cgroup".into()),
        cgroup_directory: Some(c"/sys/fs/cgroup/web".into()),
        no_pivot: false,
        opens_root: false,
        new_keyring: true,
        waits_for_start: true,
        notify_directory: None,
    }
}

/// Hosts on which plans differ.
fn hosts() -> [Host; 4] {
    let user = Host { is_root: false, privileged: false, capabilities: 0, ..host() };
    let nested = Host { privileged: false, initial_user_namespace: false, waits_for_start: false, ..host() };
    let sharing = Host {
        shared_namespaces: Kind::ALL.to_vec(),
        no_pivot: true,
        opens_root: true,
        new_keyring: false,
        waits_for_start: false,
        notify_directory: Some("/run/web/notify".into()),
        cgroup_mount: None,
        cgroup_directory: None,
        ..host()
    };
    [host(), user, nested, sharing]
}

/// Fails unless an error begins with a property of the document.
pub(super) fn names_its_place(error: &str, places: &[&str]) {
    let after = |place: &&str| error.strip_prefix(*place).is_some_and(|rest| rest.starts_with([':', '.', '[']));
    assert!(places.iter().any(after), "no property is named: {error}");
    assert!(error.contains(": "), "nothing is said of the property: {error}");
}

pub(super) fn of_container(spec: &Spec) {
    if let Err(error) = check::spec(spec) {
        return names_its_place(&sentence(&error), &PLACES);
    }
    resources(spec);
    for host in hosts() {
        match container(spec, &host) {
            Ok(plan) => is_sound(&plan, &host),
            Err(error) => names_its_place(&sentence(&error), &PLACES),
        }
    }
}

pub(super) fn of_process(process: &Process) {
    if let Err(error) = check::process(process, "process") {
        return names_its_place(&sentence(&error), &["process"]);
    }
    for host in hosts() {
        let host = Host { waits_for_start: false, ..host };
        match exec(process, &DOCKER, &host) {
            Ok(plan) => is_sound(&plan, &host),
            Err(error) => names_its_place(&sentence(&error), &["process"]),
        }
    }
}

/// What is written into the cgroup stays in it.
fn resources(spec: &Spec) {
    let asked = Some(spec.linux.cgroups_path.as_str());
    match cgroup::path_of(asked, "web", Path::new("/own")) {
        Ok(path) => assert!(path.is_absolute() && path.to_str().is_some_and(|path| !path.contains("/../"))),
        Err(error) => names_its_place(&sentence(&error), &["linux.cgroupsPath"]),
    }
    let Some(resources) = &spec.linux.resources else { return };
    cgroup::plan::without_effect(resources);
    match cgroup::plan::writes(resources) {
        Ok(writes) => assert!(writes.iter().all(|write| !write.file.contains(['/', '\0']))),
        Err(error) => names_its_place(&sentence(&error), &["linux.resources"]),
    }
    match devices::rules(resources.devices.as_deref().unwrap_or_default()) {
        Ok(rules) => drop(devices::Program::new(&rules)),
        Err(error) => names_its_place(&sentence(&error), &["linux.resources"]),
    }
    cgroup::merge(resources, resources);
}

fn is_sound(plan: &Plan, host: &Host) {
    assert!(show::text(plan, &[]).contains("program: "));
    assert!(show::json(plan, &[]).is_object());
    assert!(plan.filter.as_ref().is_none_or(|filter| filter.instructions.len() <= 4096));

    let steps = &plan.steps;
    for step in plan.entry.between.iter().chain(steps) {
        stays_inside(step);
        let slots = slots(step);
        assert!(slots.iter().all(|slot| *slot < plan.preparations.len()), "{step}: a slot that nobody fills");
    }
    let all = |wanted: fn(&Step) -> bool| {
        let found = steps.iter().enumerate().filter(move |(_, step)| wanted(step));
        found.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let last = steps.last().expect("a plan has steps");
    assert!(matches!(last, Step::Execute | Step::NoProgram), "{last} is the last step");
    let ready = all(|step| matches!(step, Step::Ready));
    assert_eq!(ready.len(), 1, "the parent is told once");
    let waits = all(|step| matches!(step, Step::AwaitStart { .. }));
    assert_eq!(!waits.is_empty(), host.waits_for_start);
    assert!(waits.iter().all(|wait| *wait == ready[0] + 1));

    // Mounts before the pivot, what hides parts of them after it.
    let turn = all(|step| matches!(step, Step::PivotRoot | Step::MoveRoot | Step::ChangeRoot));
    let before = all(|step| {
        matches!(step, Step::MountFileSystem(_) | Step::BindMount(_) | Step::Remount(_) | Step::MakeDevice(_))
    });
    let after = all(|step| matches!(step, Step::MaskPath(_) | Step::ReadonlyPath(_) | Step::Sysctl { .. }));
    assert!(turn.len() <= 1);
    assert!(before.iter().all(|index| turn.iter().all(|turn| index < turn)), "a mount after the pivot");
    assert!(after.iter().all(|index| turn.iter().all(|turn| index > turn)), "a mask before the pivot");

    // The one order in which an identity can be given up.
    let identity: [fn(&Step) -> bool; 4] = [
        |step| matches!(step, Step::BoundingSet { .. }),
        |step| matches!(step, Step::User { .. }),
        |step| matches!(step, Step::Capabilities(_)),
        |step| matches!(step, Step::FindProgram | Step::Ready),
    ];
    let order: Vec<usize> = identity.map(|wanted| *all(wanted).first().expect("each is in every plan")).to_vec();
    assert!(order.is_sorted(), "the identity is changed in another order: {order:?}");
    let filter = all(|step| matches!(step, Step::Seccomp));
    assert_eq!(filter.len(), usize::from(plan.filter.is_some() && matches!(last, Step::Execute)).max(filter.len()));
    assert!(filter.iter().all(|index| *index > order[1]), "a filter before the user");
}

/// Every path inside the container is relative to the root and does not lead above it.
fn stays_inside(step: &Step) {
    let relative = |path: &CStr| {
        let text = path.to_bytes();
        !text.starts_with(b"/") && text.split(|byte| *byte == b'/').all(|part| part != b".." && part != b".")
    };
    let inside = |destination: &Destination| assert!(relative(destination.relative()), "{destination}");
    match step {
        Step::MountFileSystem(mount) => inside(&mount.destination),
        Step::BindMount(bind) => inside(&bind.destination),
        Step::Remount(remount) => inside(&remount.destination),
        Step::MakeDevice(node) => inside(&node.path),
        Step::Symlink { path, .. } | Step::SetMountAttributes { path, .. } => inside(path),
        Step::ReadonlyPath(path) | Step::MaskPath(path) | Step::MakeWorkingDirectory(path) => inside(path),
        Step::Sysctl { path, .. } => assert!(relative(path) && path.to_bytes().starts_with(b"sys/"), "{path:?}"),
        _ => {}
    }
}

fn slots(step: &Step) -> Vec<usize> {
    match step {
        Step::Join { slot, .. } | Step::Terminal { slot, .. } => vec![*slot],
        Step::BindMount(bind) => bind.source.slot.into_iter().collect(),
        Step::AwaitStart { gate, report } => vec![*gate, *report],
        _ => Vec::new(),
    }
}
