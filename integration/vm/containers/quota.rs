//! `--storage-opt size=`, and volumes with a size.

use std::fs;

use crate::group::host;
use crate::harness::Place;

/// A store on an ext4 with quotas of projects, which is gone with the machine.
fn limited() -> Place {
    Place::with(|path| {
        let place = Place { path, user: None, network: None };
        fs::create_dir(place.store()).unwrap();
        let image = place.join("disk");
        host(&format!(
            "cp /payload/project.img {0}; mount -o loop,prjquota {0} {1}",
            image.display(),
            place.store().display()
        ));
        place
    })
}

/// Says whether there was no room, and how much was written.
const FILL: &str =
    "dd if=/dev/zero of=$PLACE/full bs=64k count=64 2>&1 | grep -ci 'no space\\|quota'; stat -c %s $PLACE/full";

#[test]
fn a_container_writes_no_more_than_it_may() {
    let place = limited();
    let script = FILL.replace("$PLACE", "/tmp");
    let flags = ["--storage-opt", "size=2m"];
    let said = place
        .ctn(&[&["run", "--name", "small", "--network", "none"], &flags[..], &["box", "sh", "-c", &script]].concat());
    let size: u64 = said.lines().last().unwrap().parse().unwrap();
    assert!(said.starts_with("1\n") && (1 << 20..=2 << 20).contains(&size), "{said}");
    assert_eq!(place.field("small", "index .HostConfig.StorageOpt \"size\""), "2m");
    // Another's quota is its own, and of what one had that is gone nothing is counted.
    assert!(place.inside(&flags, &script).starts_with("1\n"));
    assert_eq!(place.inside(&[], &script), "0\n4194304\n");
    place.ctn(&["rm", "small"]);
    place.assert_nothing_left();
}

#[test]
fn a_volume_has_no_more_than_it_may() {
    let place = limited();
    place.ctn(&["volume", "create", "-o", "size=1m", "small"]);
    let script = FILL.replace("$PLACE", "/v");
    let said = place.inside(&["-v", "small:/v"], &script);
    let size: u64 = said.lines().last().unwrap().parse().unwrap();
    assert!(said.starts_with("1\n") && size <= 1 << 20, "{said}");
    place.ctn(&["volume", "rm", "small"]);
}
