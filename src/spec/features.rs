//! What the runtime knows, as the specification's `features` document (features.md, features-linux.md).
//!
//! The lists that a room of the runtime works by come from that room ([`Known`]), so that the document can't claim more.

use serde::Serialize;

/// The oldest version of the specification whose files are understood.
const OLDEST: &str = "1.0.0";

/// config.md, "POSIX-platform Hooks", in the order in which they run.
const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// config-linux.md, "Namespaces".
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// set_mempolicy(2).
const MEMORY_POLICIES: [&str; 7] = [
    "MPOL_BIND",
    "MPOL_DEFAULT",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// set_mempolicy(2).
const MEMORY_POLICY_FLAGS: [&str; 3] = ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// Annotations that change what the runtime does on the host: an engine must not take them from strangers. One that ends
/// with a point stands for all that begin with it.
const UNSAFE_ANNOTATIONS: [&str; 6] = [
    "org.systemd.property.",
    "run.oci.hooks.stderr",
    "run.oci.hooks.stdout",
    "run.oci.keep_original_groups",
    "run.oci.seccomp.receiver",
    "run.oci.systemd.subgroup",
];

/// The names that rooms of the runtime work by.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Options of mounts with a meaning of ours.
    pub mount_options: Vec<String>,
    /// `CAP_…`.
    pub capabilities: Vec<&'static str>,
    /// `SCMP_ACT_…`.
    pub seccomp_actions: Vec<&'static str>,
    /// `SCMP_CMP_…`.
    pub seccomp_operators: Vec<&'static str>,
    /// `SCMP_ARCH_…`.
    pub seccomp_architectures: Vec<&'static str>,
    /// `SECCOMP_FILTER_FLAG_…`.
    pub seccomp_flags: Vec<&'static str>,
    /// Those of them that the running kernel has.
    pub supported_seccomp_flags: Vec<&'static str>,
}

/// The document, indented by four as runc's is.
pub fn document(known: &Known) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    features(known).serialize(&mut serializer).expect("names become JSON in memory");
    let mut text = String::from_utf8(bytes).expect("JSON is text");
    text.push('\n');
    text
}

fn features(known: &Known) -> Features<'_> {
    const YES: Enabled = Enabled { enabled: true };
    Features {
        oci_version_min: OLDEST,
        oci_version_max: super::VERSION,
        hooks: &HOOKS,
        mount_options: &known.mount_options,
        linux: Linux {
            namespaces: &NAMESPACES,
            capabilities: &known.capabilities,
            cgroup: Cgroup { v1: false, v2: true, systemd: true, systemd_user: true, rdma: true },
            seccomp: Seccomp {
                enabled: true,
                actions: &known.seccomp_actions,
                operators: &known.seccomp_operators,
                archs: &known.seccomp_architectures,
                known_flags: &known.seccomp_flags,
                supported_flags: &known.supported_seccomp_flags,
            },
            apparmor: YES,
            selinux: YES,
            intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
            memory_policy: MemoryPolicy { modes: &MEMORY_POLICIES, flags: &MEMORY_POLICY_FLAGS },
            mount_extensions: MountExtensions { idmap: YES },
            net_devices: YES,
        },
        potentially_unsafe_config_annotations: &UNSAFE_ANNOTATIONS,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features<'a> {
    oci_version_min: &'a str,
    oci_version_max: &'a str,
    hooks: &'a [&'a str],
    mount_options: &'a [String],
    linux: Linux<'a>,
    potentially_unsafe_config_annotations: &'a [&'a str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux<'a> {
    namespaces: &'a [&'a str],
    capabilities: &'a [&'a str],
    cgroup: Cgroup,
    seccomp: Seccomp<'a>,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy<'a>,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp<'a> {
    enabled: bool,
    actions: &'a [&'a str],
    operators: &'a [&'a str],
    archs: &'a [&'a str],
    known_flags: &'a [&'a str],
    supported_flags: &'a [&'a str],
}

#[derive(Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Serialize)]
struct MemoryPolicy<'a> {
    modes: &'a [&'a str],
    flags: &'a [&'a str],
}

#[derive(Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::schema;

    fn known() -> Known {
        Known {
            mount_options: vec!["ro".into(), "rro".into()],
            capabilities: vec!["CAP_CHOWN"],
            seccomp_actions: vec!["SCMP_ACT_ALLOW"],
            seccomp_operators: vec!["SCMP_CMP_EQ"],
            seccomp_architectures: vec!["SCMP_ARCH_X86_64"],
            seccomp_flags: vec!["SECCOMP_FILTER_FLAG_LOG"],
            supported_seccomp_flags: vec!["SECCOMP_FILTER_FLAG_LOG"],
        }
    }

    #[test]
    fn the_document_is_of_the_schema() {
        let document: Value = serde_json::from_str(&document(&known())).unwrap();
        assert_eq!(schema::violation("features-schema.json", &document), None);
        let mut wrong = document;
        wrong["linux"]["capabilities"] = json!(["chown"]);
        assert!(schema::violation("features-schema.json", &wrong).is_some(), "the schema must be able to refuse");
    }

    #[test]
    fn the_document_has_what_engines_look_for() {
        let document: Value = serde_json::from_str(&document(&known())).unwrap();
        // containerd: user namespaces for pods, read-only mounts all the way down. cri-o: the versions.
        assert!(document["linux"]["namespaces"].as_array().unwrap().contains(&json!("user")));
        assert_eq!(document["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert!(document["mountOptions"].as_array().unwrap().contains(&json!("rro")));
        assert_eq!((&document["ociVersionMin"], &document["ociVersionMax"]), (&json!("1.0.0"), &json!("1.3.0")));
        assert_eq!(document["linux"]["cgroup"]["v1"], false);
    }
}
