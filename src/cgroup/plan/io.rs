//! `linux.resources.blockIO` → `io.weight` or `io.bfq.weight`, and `io.max`.

use anyhow::{Result, bail};

use super::{IfMissing, Write};
use crate::spec::resources::{LinuxBlockIo, LinuxThrottleDevice};

pub(super) fn writes(block_io: &LinuxBlockIo) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        writes.push(weight_write("", weight, "linux.resources.blockIO.weight".to_owned())?);
    }
    for (index, device) in block_io.weight_device.iter().flatten().enumerate() {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let field = format!("linux.resources.blockIO.weightDevice[{index}]");
            writes.push(weight_write(&format!("{}:{} ", device.major, device.minor), weight, field)?);
        }
    }
    let rates: [(&str, &str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("rbps", "throttleReadBpsDevice", &block_io.throttle_read_bps_device),
        ("wbps", "throttleWriteBpsDevice", &block_io.throttle_write_bps_device),
        ("riops", "throttleReadIOPSDevice", &block_io.throttle_read_iops_device),
        ("wiops", "throttleWriteIOPSDevice", &block_io.throttle_write_iops_device),
    ];
    for (key, name, devices) in rates {
        for (index, LinuxThrottleDevice { major, minor, rate }) in devices.iter().flatten().enumerate() {
            // The kernel keeps the keys that a line does not name, so each rate can have its own write and its own error.
            let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
            let field = format!("linux.resources.blockIO.{name}[{index}]");
            writes.push(Write::new("io.max", format!("{major}:{minor} {key}={rate}"), field));
        }
    }
    Ok(writes)
}

/// BFQ counts as the specification does (1 to 1000) and has a file of its own; where it is not built in, `io.weight` of
/// the cost model takes the weight in its own scale.
fn weight_write(device: &str, weight: u16, field: String) -> Result<Write> {
    if !(10..=1000).contains(&weight) {
        bail!("{field}: the weight {weight} is not within 10 to 1000");
    }
    let instead = IfMissing::Instead {
        file: "io.weight".to_owned(),
        value: format!("{device}{}", weight_of_block_weight(weight)),
    };
    Ok(Write::new("io.bfq.weight", format!("{device}{weight}"), field).if_missing(instead))
}

/// The line from 10..1000, the scale of cgroup v1, to 1..10000, that of `io.weight`.
pub fn weight_of_block_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::super::{refusal, table};
    use super::*;

    #[test]
    fn the_ends_of_both_scales_meet() {
        assert_eq!([10, 500, 1000].map(weight_of_block_weight), [1, 4950, 10_000]);
    }

    #[test]
    fn weights_have_a_second_file() {
        let block_io = r#"{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10},{"major":8,"minor":1}]}"#;
        let writes = writes(&serde_json::from_str(block_io).unwrap()).unwrap();
        let instead = |file: &str, value: &str| IfMissing::Instead { file: file.into(), value: value.into() };
        let found: Vec<_> =
            writes.iter().map(|write| (write.file.as_str(), write.value.as_str(), &write.if_missing)).collect();
        assert_eq!(
            found,
            [
                ("io.bfq.weight", "500", &instead("io.weight", "4950")),
                ("io.bfq.weight", "8:0 10", &instead("io.weight", "8:0 1")),
            ]
        );
        assert_eq!(writes[1].field, "linux.resources.blockIO.weightDevice[0]");
        assert!(refusal(r#"{"blockIO":{"weight":5}}"#).starts_with("linux.resources.blockIO.weight: the weight 5 "));
        assert!(refusal(r#"{"blockIO":{"weightDevice":[{"weight":1001}]}}"#).contains("weightDevice[0]"));
    }

    #[test]
    fn each_rate_is_a_line_of_its_own() {
        let resources = r#"{"blockIO":{
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":0}],
            "throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":2}],
            "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":4}]}}"#;
        assert_eq!(
            table(resources),
            [
                "io.max = 8:0 rbps=1",
                "io.max = 8:16 rbps=max",
                "io.max = 8:0 wbps=2",
                "io.max = 8:0 riops=3",
                "io.max = 8:0 wiops=4",
            ]
        );
    }
}
