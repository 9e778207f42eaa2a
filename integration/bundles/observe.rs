//! What a process in a container says about itself and its surroundings.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Prints everything that a configuration can decide, in sections. It needs a shell, cat, ls, stat and readlink, and
/// reads its own files through `$$`, for each of the others has a process of its own.
pub(super) const SCRIPT: &str = r#"
section() { echo "== $1"; }
section status; cat /proc/$$/status
section mounts; cat /proc/$$/mountinfo
section limits; cat /proc/$$/limits
section environment; tr '\0' '\n' < /proc/$$/environ
section directory; readlink /proc/$$/cwd
section cgroup; cat /proc/$$/cgroup
section oom; cat /proc/$$/oom_score_adj
section hostname; cat /proc/sys/kernel/hostname
section descriptors; ls /proc/$$/fd
section namespaces; for name in cgroup ipc mnt net pid time user uts; do echo $name $(readlink /proc/$$/ns/$name); done
section settings; for name in net.ipv4.ip_unprivileged_port_start net.ipv4.ping_group_range; do
  echo $name $(cat /proc/sys/$(echo $name | tr . /)); done
section files; for path in /proc/* /sys/firmware /sys/devices/virtual/powercap /dev/* /dev/*/*; do
  stat -L -c '%n %F %t:%T' "$path" 2>/dev/null; done
section firmware; ls /sys/firmware
section umask; umask
section terminal; tty
section end
"#;

/// What was printed, by section.
pub(super) struct Seen(BTreeMap<String, String>);

impl Seen {
    pub(super) fn parse(printed: &str) -> Result<Self> {
        let mut sections = BTreeMap::new();
        let mut rest = printed.split("== ");
        rest.next().context("nothing printed")?;
        for section in rest {
            let (name, text) = section.split_once('\n').unwrap_or((section, ""));
            sections.insert(name.trim().to_string(), text.to_string());
        }
        sections.get("end").with_context(|| format!("not printed to the end:\n{printed}"))?;
        Ok(Self(sections))
    }

    pub(super) fn section(&self, name: &str) -> &str {
        self.0.get(name).map(|text| text.trim_end()).unwrap_or_default()
    }

    /// The words behind a word at the start of a line in a section.
    pub(super) fn line(&self, section: &str, first: &str) -> Option<Vec<&str>> {
        self.section(section)
            .lines()
            .find_map(|line| line.strip_prefix(first))
            .map(|rest| rest.split_whitespace().collect())
    }

    /// The last mount at a place, which may be below /usr where /bin and /sbin are links.
    pub(super) fn mount(&self, place: &str) -> Option<Mount<'_>> {
        let merged = format!("/usr{place}");
        let mut mounts = self.section("mounts").lines().filter_map(Mount::parse);
        mounts.rfind(|mount| mount.place == place || mount.place == merged)
    }

    /// A file's kind, and its device numbers in hexadecimal.
    pub(super) fn file(&self, path: &str) -> Option<(&str, &str)> {
        let start = format!("{path} ");
        let rest = self.section("files").lines().find_map(|line| line.strip_prefix(&start))?;
        rest.rsplit_once(' ')
    }
}

/// A line of proc_pid_mountinfo(5).
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) place: &'a str,
    pub(super) options: Vec<&'a str>,
    pub(super) kind: &'a str,
    pub(super) super_options: Vec<&'a str>,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let (mount, file_system) = (mount.split(' ').collect::<Vec<_>>(), file_system.split(' ').collect::<Vec<_>>());
        Some(Self {
            place: mount.get(4)?,
            options: mount.get(5)?.split(',').collect(),
            kind: file_system.first()?,
            super_options: file_system.get(2)?.split(',').collect(),
        })
    }

    pub(super) fn has(&self, option: &str) -> bool {
        self.options.contains(&option) || self.super_options.contains(&option)
    }
}

/// The bit of a capability in the sets that the kernel prints.
pub(super) fn capability(name: &str) -> u64 {
    // In the order of <linux/capability.h>.
    const NAMES: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
        NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE \
        SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE \
        AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF \
        CHECKPOINT_RESTORE";
    let position = NAMES.split_whitespace().position(|known| Some(known) == name.strip_prefix("CAP_"));
    position.map_or(0, |position| 1 << position)
}
