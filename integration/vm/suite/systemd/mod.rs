//! The systemd driver: a container is a unit, and its limits are the unit's.

mod bus;
mod crash;
mod lifecycle;
mod limits;
mod refusal;
mod rootless;
mod slices;
mod sub_group;

use crate::harness::{Bundle, host};

/// A bundle whose containers are units, and stay until they are killed.
fn bundle() -> Bundle {
    let mut bundle = Bundle::staying();
    bundle.globals = vec!["--systemd-cgroup"];
    bundle
}

/// A bundle, a slice of its own, and the name of the unit that its container will be there.
fn bundle_in_slice() -> (Bundle, String, String) {
    let mut bundle = bundle();
    let slice = slice_of(&bundle);
    bundle.config.set("/linux/cgroupsPath", format!("{slice}:engine:{}", bundle.id));
    let unit = format!("engine-{}.scope", bundle.id);
    (bundle, slice, unit)
}

/// The name of a slice that nobody else has.
fn slice_of(bundle: &Bundle) -> String {
    format!("{}.slice", bundle.id.replace('-', "_"))
}

/// What systemd has for a property of a unit.
#[track_caller]
fn show(unit: &str, property: &str) -> String {
    host(&format!("systemctl show --value --property {property} {unit}")).trim_end().to_owned()
}

#[track_caller]
fn assert_shows(unit: &str, expected: &[(&str, &str)]) {
    for (property, value) in expected {
        assert_eq!(show(unit, property), *value, "{property} of {unit}");
    }
}

/// systemd has never heard of it, or has forgotten it.
#[track_caller]
fn assert_no_unit(unit: &str) {
    assert_eq!(show(unit, "LoadState"), "not-found", "{unit} is {}", show(unit, "ActiveState"));
}

/// Every unit of this kind that systemd has in memory.
fn units(pattern: &str) -> String {
    host(&format!("systemctl list-units --all --plain --no-legend '{pattern}'"))
}
