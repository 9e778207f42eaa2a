//! Keys of the host: whoever calls the runtime has a session keyring, of which nothing may reach the container; and whoever
//! is on the host may have a keyring of the name that the container's will have.

use crate::attacker;
use crate::harness::wait::read_until;
use crate::harness::{Bundle, Call};

/// Calls the runtime as a process with a key in its session keyring.
fn with_a_key(call: Call) -> Call {
    call.through([attacker::text(), "hide-key", "", "corten-tests-key"])
}

const FIND: [&str; 3] = ["attacker", "find-key", "corten-tests-key"];

#[test]
fn of_the_caller() {
    let mut bundle = Bundle::new();
    attacker::enter(&bundle);
    bundle.config.args(FIND);
    let ran = with_a_key(bundle.run_call().arg(&bundle.id)).ok();
    assert!(ran.stdout.contains("search ENOKEY") && !ran.stdout.contains("done"), "{ran}");
    // The attack works: with the caller's keyring, which the caller may ask for, the key is found.
    let ran = with_a_key(bundle.run_call().args(["--no-new-keyring", &bundle.id])).ok();
    assert!(ran.stdout.contains("search done\nread done\n"), "{ran}");
}

#[test]
fn of_the_caller_of_exec() {
    let mut bundle = Bundle::new();
    attacker::enter(&bundle);
    bundle.config.stay();
    let container = bundle.start();
    let ran = with_a_key(container.call("exec").arg(&container.id).args(FIND)).ok();
    assert!(ran.stdout.contains("search ENOKEY") && !ran.stdout.contains("done"), "{ran}");
}

#[test]
fn of_another_user_under_the_containers_name() {
    let mut bundle = Bundle::new();
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    let name = format!("_ses.{}", bundle.id);
    let planter = Call::of(attacker::program(), &bundle.directory).args(["plant-keyring", &name]).user(1000, 1000);
    let _planter = planter.stderr(writer).spawn();
    read_until(reader, "planted");
    attacker::enter(&bundle);
    bundle.config.args(["attacker", "find-key", "planted"]);
    bundle.run().refused(&["session keyring", "belongs to user 1000"]);
}
