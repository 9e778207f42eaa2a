//! What `corten spec` writes: a configuration to start from, the same as runc's but for the hostname.

/// For root: the container has every namespace but a user namespace, and few capabilities.
pub const CONFIG: &str = include_str!("template.json");

/// For an ordinary user: in a user namespace whose root is that user. It keeps the host's network, which nobody else could
/// connect it to; has no limits, for which there is no cgroup; no group 5 (tty), which isn't mapped; and the host's /sys,
/// because only the owner of a network namespace may mount its own.
const ROOTLESS: &str = include_str!("template-rootless.json");

/// The configuration for an ordinary user with these ids.
pub fn rootless(uid: u32, gid: u32) -> String {
    ROOTLESS.replace("\"{uid}\"", &uid.to_string()).replace("\"{gid}\"", &gid.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::schema;

    fn types(config: &Value) -> Vec<&str> {
        config["linux"]["namespaces"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_templates_are_of_the_schema() {
        for text in [CONFIG, &rootless(1000, 100)] {
            let mut config: Value = serde_json::from_str(text).unwrap();
            assert_eq!(schema::violation("config-schema.json", &config), None);
            assert_eq!(config["ociVersion"], crate::spec::VERSION);
            config["process"]["cwd"] = json!(1);
            assert!(schema::violation("config-schema.json", &config).is_some(), "the schema must be able to refuse");
        }
    }

    #[test]
    fn the_rootless_template_is_the_other_one_for_a_user() {
        let config: Value = serde_json::from_str(CONFIG).unwrap();
        let mut expected = config.clone();
        assert_eq!(types(&config), ["pid", "network", "ipc", "uts", "mount", "cgroup"]);
        let linux = expected["linux"].as_object_mut().unwrap();
        linux.remove("resources");
        linux.insert("uidMappings".into(), json!([{"containerID": 0, "hostID": 1000, "size": 1}]));
        linux.insert("gidMappings".into(), json!([{"containerID": 0, "hostID": 100, "size": 1}]));
        linux["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != "network");
        linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for mount in expected["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/sys" {
                let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
                *mount = json!({"destination": "/sys", "type": "none", "source": "/sys", "options": options});
            } else if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
                options.retain(|option| !option.as_str().unwrap().starts_with("gid="));
            }
        }
        assert_eq!(serde_json::from_str::<Value>(&rootless(1000, 100)).unwrap(), expected);
    }
}
