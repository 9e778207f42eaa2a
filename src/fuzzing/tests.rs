//! The properties on inputs near to the ones that engines write: those themselves, with some places changed. The fuzz targets
//! look farther.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::spec::template;

const CONFIGS: [&str; 9] = [
    template::CONFIG,
    include_str!("../../tests/golden/configs/every-property.json"),
    include_str!("../../tests/golden/configs/joined-namespaces.json"),
    include_str!("../../tests/golden/configs/nearly-nothing.json"),
    include_str!("../../tests/data/configs/docker-limits.json"),
    include_str!("../../tests/data/configs/docker-privileged.json"),
    include_str!("../../tests/data/configs/docker-tty.json"),
    include_str!("../../tests/data/configs/podman-userns.json"),
    include_str!("../../tests/data/configs/ctr-default.json"),
];

const PROFILES: [&str; 3] = [
    include_str!("../../tests/data/seccomp-docker.json"),
    include_str!("../../tests/data/seccomp-podman.json"),
    include_str!("../../fuzz/seeds/profile/everything.json"),
];

const PROCESS: &str = include_str!("../../tests/data/configs/docker-exec-process.json");

const RECORD: &str = include_str!("../../fuzz/seeds/record/running.json");

/// The filter's program is tried by tests of its own; without it a configuration is planned a hundred times as fast.
fn without_most_of_its_filter(text: &str) -> Value {
    let mut config: Value = serde_json::from_str(text).unwrap();
    if let Some(rules) = config.pointer_mut("/linux/seccomp/syscalls").and_then(Value::as_array_mut) {
        rules.truncate(2);
        rules.iter_mut().for_each(|rule| rule["names"] = json!(["read", "clone"]));
    }
    config
}

fn configs() -> Vec<Value> {
    let rootless = template::rootless(1000, 100);
    CONFIGS.into_iter().chain([rootless.as_str()]).map(without_most_of_its_filter).collect()
}

/// One of these documents with a few places changed.
fn near(documents: Vec<Value>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 24), 1..5);
    (prop::sample::select(documents), changes).prop_map(|(mut document, changes)| {
        for change in changes {
            let mut indexes = change.iter().cycle();
            mutate(&mut document, &mut |below| indexes.next().map_or(0, |index| index.index(below)));
        }
        serde_json::to_vec(&document).unwrap()
    })
}

fn parsed(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn what_is_near_to_can_be_planned_itself() {
    // Or nothing behind a refusal would ever be tried.
    for text in configs().iter().map(Value::to_string) {
        let spec: Spec = load::parse(text.as_bytes()).unwrap();
        crate::spec::check::spec(&spec).unwrap();
        config(text.as_bytes());
    }
    let read: Process = load::parse(PROCESS.as_bytes()).unwrap();
    crate::spec::check::process(&read, "process").unwrap();
    process(PROCESS.as_bytes());
    for text in PROFILES {
        crate::seccomp::compile(&load::parse(text.as_bytes()).unwrap(), crate::seccomp::Architecture::NATIVE).unwrap();
        profile(text.as_bytes());
    }
    crate::container::read_and_written(RECORD.as_bytes()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_is_planned_or_refused(bytes in near(configs())) {
        config(&bytes);
    }

    #[test]
    fn any_process_is_planned_or_refused(bytes in near(parsed(&[PROCESS]))) {
        process(&bytes);
    }

    #[test]
    fn any_record_is_read_or_refused(bytes in near(parsed(&[RECORD]))) {
        record(&bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        config(&bytes);
        process(&bytes);
        profile(&bytes);
        record(&bytes);
        command_line(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_profile_is_taken_by_the_kernel_or_refused(bytes in near(parsed(&PROFILES))) {
        profile(&bytes);
    }
}
