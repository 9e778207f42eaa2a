//! Through a D-Bus daemon, where systemd's own socket can't be reached.

use super::{assert_no_unit, assert_shows, bundle_in_slice};
use crate::harness::{Call, host};

/// Whoever connects to what is no socket is refused.
fn without_own_socket(call: Call) -> Call {
    let hide = "mount --bind /dev/null /run/systemd/private";
    call.after(hide).through(["unshare", "--mount", "--propagation", "private"])
}

#[test]
fn the_bus_will_do() {
    host("systemctl start dbus.service");
    let (bundle, slice, unit) = bundle_in_slice();
    without_own_socket(bundle.create_call().arg(&bundle.id)).ok();
    assert_shows(&unit, &[("ActiveState", "active"), ("Slice", &slice)]);
    let change = r#"{"unified":{"cgroup.max.depth":"5"}}"#;
    without_own_socket(bundle.call("update").args(["--resources", "-", &bundle.id]).input(change)).ok();
    without_own_socket(bundle.call("delete").args(["--force", &bundle.id])).ok();
    assert_no_unit(&unit);
    bundle.assert_nothing_left();
}
