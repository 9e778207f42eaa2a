//! `:z` and `:Z` on a machine that was booted with SELinux, the second boot of `make vm`, under the policy of the runtime's tests.

use std::fs;
use std::path::Path;

use crate::group::host;
use crate::harness::Place;

const FILES: &str = "test_u:object_r:container_file_t";
const HOSTS: &str = "test_u:object_r:host_t";

/// Loads the policy, unless the runtime's tests have, puts it in force, and says which files are containers'.
fn policy() {
    assert!(Path::new("/sys/fs/selinux").exists(), "this machine was booted without SELinux");
    host(
        "[ -e /sys/fs/selinux/load ] || mount -t selinuxfs selinuxfs /sys/fs/selinux
        [ \"$(cat /sys/fs/selinux/enforce)\" = 1 ] || dd if=/payload/selinux.policy of=/sys/fs/selinux/load bs=1M 2>/dev/null
        echo 1 >/sys/fs/selinux/enforce
        mkdir -p /etc/selinux/tests/contexts; echo SELINUXTYPE=tests >/etc/selinux/config",
    );
    fs::write("/etc/selinux/tests/contexts/lxc_contexts", format!("file = \"{FILES}\"\n")).unwrap();
}

fn label(path: &Path) -> String {
    let mut value = [0; 256];
    let length = rustix::fs::lgetxattr(path, "security.selinux", &mut value[..]).unwrap();
    String::from_utf8_lossy(&value[..length]).trim_end_matches('\0').to_owned()
}

#[test]
fn a_source_is_labelled_for_containers() {
    policy();
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir_all(shared.join("below/mounted")).unwrap();
    fs::write(shared.join("below/file"), "of the host\n").unwrap();
    fs::write(place.join("elsewhere"), "").unwrap();
    std::os::unix::fs::symlink(place.join("elsewhere"), shared.join("link")).unwrap();
    host(&format!("mount -t tmpfs other {}", shared.join("below/mounted").display()));
    let bind = |word: &str| format!("{}:/v:{word}", shared.display());
    let labelled = |flags: &[&str], wanted: &str| {
        place.inside(flags, "true");
        for name in ["", "below", "below/file", "link"] {
            assert_eq!(label(&shared.join(name)), wanted, "{flags:?} {name}");
        }
        // Neither what a link leads to, nor what is mounted there.
        for path in [place.join("elsewhere"), shared.join("below/mounted")] {
            assert_ne!(label(&path), FILES, "{flags:?} {path:?}");
        }
    };
    // Back to the machine's, each time.
    let mount = format!("type=bind,src={},dst=/v,relabel=shared", shared.display());
    let back = || labelled(&["--mount", &mount, "--security-opt", "label=filetype:host_t"], HOSTS);
    back();
    place.inside(&["-v", &bind("rw")], "true");
    assert_eq!(label(&shared.join("below/file")), HOSTS);
    for word in ["z", "Z"] {
        labelled(&["-v", &bind(word)], FILES);
        back();
    }
    let refusal = place.refusal(125, &["run", "--rm", "-v", "/usr:/v:z", "box", "true"]);
    assert!(refusal.contains("SELinux relabeling of /usr is not allowed"), "{refusal}");
    host(&format!("umount {}", shared.join("below/mounted").display()));
    place.assert_nothing_left();
}
