//! `linux.resources.rdma` → `rdma.max`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::Write;
use crate::spec::resources::LinuxRdma;

pub(super) fn writes(devices: &BTreeMap<String, LinuxRdma>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (name, limits) in devices {
        let field = format!("linux.resources.rdma[{name:?}]");
        if name.is_empty() || name.contains(char::is_whitespace) {
            bail!("{field}: this is not the name of a device");
        }
        let mut value = name.clone();
        if let Some(handles) = limits.hca_handles {
            value.push_str(&format!(" hca_handle={handles}"));
        }
        if let Some(objects) = limits.hca_objects {
            value.push_str(&format!(" hca_object={objects}"));
        }
        if value.len() > name.len() {
            writes.push(Write::new("rdma.max", value, field));
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::super::{refusal, table};

    #[test]
    fn each_device_is_a_line() {
        assert_eq!(
            table(r#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000},"a":{"hcaObjects":1},"b":{}}}"#),
            ["rdma.max = a hca_object=1", "rdma.max = mlx5_1 hca_handle=3 hca_object=10000"]
        );
        assert!(refusal(r#"{"rdma":{"a b":{"hcaHandles":3}}}"#).starts_with("linux.resources.rdma[\"a b\"]: "));
    }
}
