//! A container that runs comes into one more network, or leaves it, and a step of that fails, or is not done any more: it has what it had,
//! and its ways outside as they were.

use corten::network::Driver;

use super::*;

/// The steps, and what each of them fails with.
const FAILURES: [(&str, &str); 3] = [("sendto", "ENOBUFS"), ("symlink", "ENOSPC"), ("rename", "ENOSPC")];

/// What the container is in at first is the way outside, until the third network is.
fn of<'a>(id: &'a str, network: &'a str, interface: &'a str, priority: i32, namespace: &'a File) -> Attachment<'a> {
    let request = Attachment::new(id, "web", namespace.as_fd(), network);
    Attachment { interface, gateway_priority: priority, ..request }
}

pub(super) fn connect(networks: &Networks, namespace: &File) {
    networks.attach(&of(&id("web"), "third", "eth2", 2, namespace)).unwrap();
}

pub(super) fn disconnect(networks: &Networks, namespace: &File) {
    networks.disconnect(&id("web"), "third", namespace.as_fd()).unwrap();
}

/// A container that is in two networks, and is to be in a third one.
struct Member {
    host: Host,
    namespace: Namespace,
}

impl Member {
    fn new(third: &Create) -> Member {
        let host = Host::new();
        let namespace = Namespace::new();
        for (name, interface, priority) in [("one", "eth0", 0), ("two", "eth1", 1)] {
            host.network(&Create { name: name.into(), ipv6: true, ..Create::default() });
            let there = File::open(namespace.path()).unwrap();
            host.networks.attach(&of(&id("web"), name, interface, priority, &there)).unwrap();
        }
        host.network(&Create { name: "third".into(), ..third.clone() });
        let member = Member { host, namespace };
        // The bridge and the rules stay when the last one has left, and so does which address was given.
        member.connect();
        member.disconnect();
        member
    }

    fn there(&self) -> File {
        File::open(self.namespace.path()).unwrap()
    }

    fn connect(&self) {
        connect(&self.host.networks, &self.there());
    }

    fn disconnect(&self) {
        disconnect(&self.host.networks, &self.there());
    }

    /// The next command sees to a change that somebody did not bring to its end, and then everything is as before.
    #[track_caller]
    fn settles_as(&self, before: &[String], when: &str) {
        self.host.networks.leave(&id("web"), "third", self.namespace.fd()).unwrap();
        assert_eq!(self.all(), before, "{when}");
    }

    /// Its links and ways, and what is kept of it.
    fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = ["-4 route show", "-6 route show default", "-br link"]
            .iter()
            .flat_map(|what| self.namespace.ip(what).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        all.extend(self.host.leftovers());
        all.sort();
        all
    }

    /// What is injected at each step of each kind that there is, each time after `prepare`, and before `check`, which hears whether the
    /// command succeeded all the same; says how often.
    fn at_each_step(
        &self,
        call: &str,
        kinds: &[(&str, String)],
        prepare: impl Fn(),
        check: impl Fn(bool, &str),
    ) -> u32 {
        let mut times = 0;
        for (step, what) in kinds {
            for number in 1.. {
                prepare();
                let output = injected(&self.host, (step, what, number), call, &self.namespace.path());
                check(output.status.success(), &format!("{call}: {what} at {step} {number}"));
                let log = std::fs::read_to_string(self.host.directory.join("strace.log")).unwrap();
                if !log.contains("(INJECTED)") && !log.contains("killed by SIGKILL") {
                    assert!(output.status.success(), "{call}: {output:?}");
                    break;
                }
                times += 1;
            }
        }
        times
    }
}

fn failures() -> Vec<(&'static str, String)> {
    FAILURES.iter().map(|(step, error)| (*step, format!("error={error}"))).collect()
}

fn kills() -> Vec<(&'static str, String)> {
    STEPS.iter().map(|step| (*step, "signal=KILL".to_owned())).collect()
}

/// Members whose third network is of either kind: with an end on the host, and without.
fn members() -> impl Iterator<Item = (Member, Vec<String>)> {
    let kinds = [Create { ipv6: true, ..Create::default() }, on_the_wire("", Driver::Macvlan)];
    kinds.into_iter().map(|third| {
        let member = Member::new(&third);
        let before = member.all();
        (member, before)
    })
}

#[test]
fn a_connect_of_which_a_step_fails() {
    for (member, before) in members() {
        let check = |succeeded: bool, when: &str| {
            if succeeded {
                member.disconnect();
            }
            assert_eq!(member.all(), before, "{when}");
        };
        let times = member.at_each_step("connect", &failures(), || (), check);
        assert!(times > 15, "only {times}");
    }
}

#[test]
fn a_connect_that_is_killed() {
    for (member, before) in members() {
        let times = member.at_each_step("connect", &kills(), || (), |_, when| member.settles_as(&before, when));
        assert!(times > 20, "only {times}");
    }
}

#[test]
fn a_disconnect_of_which_a_step_fails() {
    for (member, before) in members() {
        let check = |_: bool, when: &str| {
            // There is a way outside at once, whatever else has to be done again.
            for family in ["-4", "-6"] {
                let routes = member.namespace.ip(&format!("{family} route show default"));
                assert!(routes.contains("via"), "{when}: {family}");
            }
            member.settles_as(&before, when);
        };
        let times = member.at_each_step("disconnect", &failures(), || member.connect(), check);
        assert!(times > 10, "only {times}");
    }
}

#[test]
fn a_disconnect_that_is_killed() {
    for (member, before) in members() {
        let check = |_: bool, when: &str| member.settles_as(&before, when);
        let times = member.at_each_step("disconnect", &kills(), || member.connect(), check);
        assert!(times > 15, "only {times}");
    }
}
