//! `--storage-opt size=`, and volumes with a size, on an ext4 and an xfs that have quotas of projects.

use std::fs;

use crate::group::host;
use crate::harness::Place;

/// The file systems that have them, by the images that `integration/vm/run` makes, for the machine has no mkfs of xfs.
const KINDS: [&str; 2] = ["ext4", "xfs"];

/// A store on a file system with quotas of projects, which is gone with the machine.
fn limited(kind: &str) -> Place {
    Place::with(|path| {
        let place = Place { path, user: None, network: None };
        fs::create_dir(place.store()).unwrap();
        let (image, store) = (place.join("disk"), place.store());
        // Copies of one xfs have the same identity.
        let options = if kind == "xfs" { "loop,prjquota,nouuid" } else { "loop,prjquota" };
        host(&format!(
            "cp --sparse=always /payload/project-{kind}.img {0}; mount -t {kind} -o {options} {0} {1}",
            image.display(),
            store.display()
        ));
        place
    })
}

/// Says whether there was no room, and how much was written.
const FILL: &str =
    "dd if=/dev/zero of=$PLACE/full bs=64k count=64 2>&1 | grep -ci 'no space\\|quota'; stat -c %s $PLACE/full";

/// What [`FILL`] says where there is room for all.
const ALL: &str = "0\n4194304\n";

#[track_caller]
fn assert_held(said: &str, limit: u64) {
    let size: u64 = said.lines().last().unwrap().parse().unwrap();
    assert!(said.starts_with("1\n") && (limit / 2..=limit).contains(&size), "{said}");
}

#[test]
fn a_container_writes_no_more_than_it_may() {
    for place in KINDS.map(limited) {
        let script = FILL.replace("$PLACE", "/tmp");
        let flags = ["--storage-opt", "size=2m"];
        let small = ["run", "--name", "small", "--network", "none"];
        let said = place.ctn(&[&small, &flags[..], &["box", "sh", "-c", &script]].concat());
        assert_held(&said, 2 << 20);
        assert_eq!(place.field("small", "index .HostConfig.StorageOpt \"size\""), "2m");
        // Another's quota is its own, and of what one had that is gone nothing is counted.
        assert_held(&place.inside(&flags, &script), 2 << 20);
        assert_eq!(place.inside(&[], &script), ALL);
        // What it writes over a directory counts, too.
        let over = format!("{}:/over:O", place.join("image").display());
        let on_top = FILL.replace("$PLACE", "/over");
        assert_held(&place.inside(&[&flags[..], &["-v", &over]].concat(), &on_top), 2 << 20);
        assert_eq!(place.inside(&["-v", &over], &on_top), ALL);
        place.ctn(&["rm", "small"]);
        place.assert_nothing_left();
    }
}

#[test]
fn a_volume_has_no_more_than_it_may() {
    for place in KINDS.map(limited) {
        place.ctn(&["volume", "create", "-o", "size=1m", "small"]);
        let script = FILL.replace("$PLACE", "/v");
        assert_held(&place.inside(&["-v", "small:/v"], &script), 1 << 20);
        place.ctn(&["volume", "rm", "small"]);
    }
}

/// Root of a container without a user namespace owns its files for the kernel, too, which lets it take them out of their project.
#[test]
fn who_has_a_quota_can_not_leave_it() {
    for place in KINDS.map(limited) {
        place.ctn(&["volume", "create", "-o", "size=1m", "small"]);
        let helpers = format!("{}:/helpers:ro", std::env::var("CORTEN_TEST_HELPERS").unwrap());
        let attack = |flags: &[&str], at: &str| {
            let fill = FILL.replace("$PLACE", &format!("{at}/new"));
            let script = format!("mkdir -p {at}/new; /helpers/attacker leave-project {at}/new; {fill}");
            let flags = [&["-v", &helpers, "-v", "small:/v"], flags].concat();
            let said = place.inside(&flags, &script);
            place.inside(&flags, &format!("rm -rf {at}/new"));
            let (tries, filled) = said.split_at(said.find("by path").unwrap());
            (tries.to_owned(), filled.split_once('\n').unwrap().1.to_owned())
        };
        let wanted = ["flags", "attributes", "upper half"].map(|one| format!("{one} EOPNOTSUPP\n")).concat();
        for (flags, at, limit) in [(&[][..], "/v", 1 << 20), (&["--storage-opt", "size=2m"], "/tmp", 2 << 20)] {
            let (tries, filled) = attack(flags, at);
            assert_eq!(tries, wanted);
            assert_held(&filled, limit);
            // By these calls it would have left.
            let (tries, filled) = attack(&[flags, &["--security-opt", "seccomp=unconfined"]].concat(), at);
            assert_eq!((tries.matches(" done\n").count(), filled.as_str()), (3, ALL), "{tries}");
        }
        // Where there are ids of its own, the kernel itself refuses.
        let (tries, filled) = attack(&["--userns", "auto", "--security-opt", "seccomp=unconfined"], "/v");
        assert_eq!(tries.matches(" EINVAL\n").count(), 3, "{tries}");
        assert_held(&filled, 1 << 20);
        // What has no quota may call what it may call elsewhere.
        let own = ["-v", &helpers];
        let said = place.inside(&own, "mkdir /tmp/new; /helpers/attacker leave-project /tmp/new");
        assert_eq!(said.matches(" done\n").count(), 3, "{said}");
        place.ctn(&["volume", "rm", "small"]);
        place.assert_nothing_left();
    }
}
