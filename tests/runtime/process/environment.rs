//! `env`.

use serde_json::json;

use crate::harness::Bundle;

/// The environment of a container, a line a variable.
fn environment(bundle: &mut Bundle) -> Vec<String> {
    bundle.config.args(["/bin/env"]);
    bundle.output().lines().map(str::to_owned).collect()
}

#[test]
fn env_is_the_whole_environment() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/bin", "HOME=/h", "EMPTY=", "EQUALS=a=b", "SPACE=a b"]));
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/h", "EMPTY=", "EQUALS=a=b", "SPACE=a b"]);
}

#[test]
fn of_a_variable_given_twice_the_last_counts() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/nowhere", "A=1", "B=2", "A=3", "HOME=/h", "PATH=/bin"]));
    let mut variables = environment(&mut bundle);
    variables.sort();
    assert_eq!(variables, ["A=3", "B=2", "HOME=/h", "PATH=/bin"]);
}

#[test]
fn home_comes_from_the_containers_passwd() {
    let mut bundle = Bundle::new();
    bundle.config.set("/process/env", json!(["PATH=/bin"]));
    assert!(environment(&mut bundle).contains(&"HOME=/root".to_owned()));
    bundle.config.set("/process/env", json!(["PATH=/bin", "HOME="]));
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/root"]);
    bundle.config.set("/process/user/uid", 1000);
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/home/tester"]);
    bundle.config.set("/process/user/uid", 4321);
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/"]);
    bundle.config.set("/process/env", json!(["PATH=/bin", "HOME=/given"]));
    assert_eq!(environment(&mut bundle), ["PATH=/bin", "HOME=/given"]);
}

#[test]
fn no_environment_at_all() {
    let mut bundle = Bundle::new();
    bundle.config.remove("/process/env");
    let variables = environment(&mut bundle);
    assert!(variables.iter().all(|variable| variable == "HOME=/root"), "{variables:?}");
}
