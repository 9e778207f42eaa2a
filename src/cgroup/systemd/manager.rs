//! What is asked of systemd: start a unit, change it, stop it (org.freedesktop.systemd1(5)).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::process::Pid;

use super::address::addresses;
use super::connection::{Connection, refusal};
use super::message::Message;
use super::name::Unit;
use super::properties::Property;
use super::value::Value;
use crate::cgroup::Hierarchy;
use crate::error::{errno, sentence};

const SERVICE: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// How long systemd may take to start or stop a unit.
const PATIENCE: Duration = Duration::from_secs(30);

/// The system's or a user's systemd.
#[derive(Debug)]
pub struct Systemd {
    connection: Connection,
    is_bus: bool,
    about: Option<About>,
}

/// What systemd says of itself.
#[derive(Debug, Clone)]
struct About {
    version: u32,
    control_group: String,
}

impl Systemd {
    /// Connects to the manager of the system, or to that of the user whose environment this is.
    pub fn connect(is_user: bool) -> Result<Systemd> {
        Systemd::find(is_user, |name| std::env::var(name).ok())
    }

    /// Connects to the manager of the user whose runtime directory this is.
    pub fn of_user(runtime_directory: &Path) -> Result<Systemd> {
        let directory = runtime_directory.to_str().context("the runtime directory's path is no text")?;
        Systemd::find(true, |name| (name == "XDG_RUNTIME_DIR").then(|| directory.to_owned()))
    }

    fn find(is_user: bool, environment: impl Fn(&str) -> Option<String>) -> Result<Systemd> {
        let mut failures = Vec::new();
        for address in addresses(is_user, environment) {
            match Connection::open(&address) {
                Ok(connection) => return Systemd::greet(connection, address.is_bus),
                // Not worded as "no such file": engines take that for a program that is missing in the image.
                Err(error) if errno(&error) == Some(Errno::NOENT) => {
                    failures.push(format!("there is no socket {}", address.socket));
                }
                Err(error) => failures.push(sentence(&error)),
            }
        }
        if is_user && failures.is_empty() {
            bail!(
                "find the user's systemd: neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set; a login session sets \
                 them, and \"loginctl enable-linger\" starts systemd without one"
            );
        }
        bail!(
            "reach {} systemd: {}; the cgroup manager cgroupfs needs none",
            if is_user { "the user's" } else { "the system's" },
            failures.join(", ")
        )
    }

    fn greet(mut connection: Connection, is_bus: bool) -> Result<Systemd> {
        if is_bus {
            // systemd tells the one who asked for a job of its end; a bus passes that on only to those who said so.
            let rule = Value::string(format!("type='signal',interface='{MANAGER}',member='JobRemoved'"));
            let bus = "org.freedesktop.DBus";
            connection.call(Message::call(bus, "/org/freedesktop/DBus", bus, "AddMatch", vec![rule]))?;
        }
        Ok(Systemd { connection, is_bus, about: None })
    }

    /// The manager's process, where it was spoken to itself and not by a bus.
    pub fn pid(&self) -> Option<i32> {
        if self.is_bus { None } else { self.connection.peer() }
    }

    /// Asked once, and only by who needs it.
    fn about(&mut self) -> Result<About> {
        if let Some(known) = &self.about {
            return Ok(known.clone());
        }
        let get = |name: &str| get(OBJECT, MANAGER, name);
        // Both are asked before the first is waited for.
        let asked = [self.connection.post(get("Version"))?, self.connection.post(get("ControlGroup"))?];
        let [version, control_group] = asked.map(|serial| self.connection.reply(serial).and_then(text_property));
        let about = About {
            version: version_number(&version.context("ask systemd for its version")?),
            control_group: control_group.context("ask systemd for its cgroup")?,
        };
        Ok(self.about.insert(about).clone())
    }

    /// The manager's version; 0 if it could not be understood.
    pub fn version(&mut self) -> Result<u32> {
        Ok(self.about()?.version)
    }

    /// The directory of a unit's group.
    pub fn directory(&mut self, hierarchy: &Hierarchy, unit: &Unit) -> Result<PathBuf> {
        let path = unit.path()?;
        let manager = hierarchy.directory(self.about()?.control_group.as_ref());
        Ok(manager.join(path.strip_prefix("/").unwrap_or(&path)))
    }

    /// Starts the unit with all its properties, and waits until it is up: the process is in the group then. A unit of the
    /// same name that has failed before is out of the way afterwards; one that lives is an error, but for a slice, which
    /// many share: then the answer is false, and its properties are what they were.
    pub fn start(&mut self, unit: &Unit, properties: &[Property]) -> Result<bool> {
        let what = || format!("start systemd unit {:?}", unit.name);
        let mut started = self.start_transient(unit, properties);
        if started.as_ref().is_err_and(|error| refusal(error) == Some(UNIT_EXISTS)) {
            if unit.is_slice() {
                return Ok(false);
            }
            self.reset_failed(&unit.name);
            started = self.start_transient(unit, properties);
        }
        let result = self.wait_for(&started.with_context(what)?).with_context(what)?;
        if result != "done" {
            self.reset_failed(&unit.name);
            return Err(anyhow!("the job ended as {result:?}; \"journalctl -u {}\" may know more", unit.name))
                .with_context(what);
        }
        Ok(true)
    }

    /// As [`Systemd::start`]. A scope of that name is stopped before: for whoever knows that of its processes none lives, and that systemd
    /// may only not have heard of it yet.
    pub fn start_anew(&mut self, unit: &Unit, properties: &[Property]) -> Result<()> {
        match self.start(unit, properties) {
            Err(error) if refusal(&error) == Some(UNIT_EXISTS) => {
                self.stop(&unit.name)?;
                self.start(unit, properties).map(drop)
            }
            result => result.map(drop),
        }
    }

    fn start_transient(&mut self, unit: &Unit, properties: &[Property]) -> Result<String> {
        let no_others = Value::Array("(sa(sv))".into(), Vec::new());
        self.job(
            "StartTransientUnit",
            vec![Value::string(&unit.name), Value::string("replace"), pairs(properties), no_others],
        )
    }

    /// Changes properties of a unit that is up, until it is stopped.
    pub fn set(&mut self, unit: &str, properties: &[Property]) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        let body = vec![Value::string(unit), Value::Boolean(true), pairs(properties)];
        self.call("SetUnitProperties", body).with_context(|| format!("set properties of systemd unit {unit:?}"))?;
        Ok(())
    }

    /// What systemd has for properties of a unit now.
    pub fn get(&mut self, unit: &str, names: &[&str]) -> Result<Vec<Property>> {
        let what = || format!("ask for the limits of systemd unit {unit:?}");
        let interface =
            if unit.ends_with(".slice") { "org.freedesktop.systemd1.Slice" } else { "org.freedesktop.systemd1.Scope" };
        let mut asked = Vec::new();
        for name in names {
            asked.push(self.connection.post(get(&object_of(unit), interface, name))?);
        }
        let mut all = Vec::new();
        for (name, serial) in names.iter().zip(asked) {
            match self.connection.reply(serial).with_context(what)?.into_iter().next() {
                Some(Value::Variant(value)) => all.push(((*name).to_owned(), *value)),
                other => return Err(anyhow!("the answer is {other:?}")).with_context(what),
            }
        }
        Ok(all)
    }

    /// Whether a unit is up, and nobody stops it.
    pub fn is_active(&mut self, unit: &str) -> Result<bool> {
        let answer = self.connection.call(get(&object_of(unit), "org.freedesktop.systemd1.Unit", "ActiveState"));
        let state =
            answer.and_then(text_property).with_context(|| format!("ask for the state of systemd unit {unit:?}"))?;
        Ok(state == "active")
    }

    /// Moves processes into a unit's group, or one below it. A user's systemd can do it where the user can't.
    pub fn attach(&mut self, unit: &str, below: &str, processes: &[Pid]) -> Result<()> {
        let body = vec![Value::string(unit), Value::string(below), numbers(processes)];
        self.call("AttachProcessesToUnit", body)
            .with_context(|| format!("move processes into systemd unit {unit:?}"))?;
        Ok(())
    }

    /// Stops a unit and waits until it is down; one that is not there is no error.
    pub fn stop(&mut self, unit: &str) -> Result<()> {
        let what = || format!("stop systemd unit {unit:?}");
        match self.job("StopUnit", vec![Value::string(unit), Value::string("replace")]) {
            Ok(job) => {
                let result = self.wait_for(&job).with_context(what)?;
                if result != "done" {
                    return Err(anyhow!("the job ended as {result:?}")).with_context(what);
                }
            }
            Err(error) if refusal(&error) == Some(NO_SUCH_UNIT) => return Ok(()),
            Err(error) => return Err(error).with_context(what),
        }
        self.reset_failed(unit);
        Ok(())
    }

    /// Lets systemd forget that a unit has failed, which else keeps its name. Most units have not, and are gone.
    fn reset_failed(&mut self, unit: &str) {
        let _ = self.call("ResetFailedUnit", vec![Value::string(unit)]);
    }

    /// Makes a call that is answered with a job.
    fn job(&mut self, member: &str, body: Vec<Value>) -> Result<String> {
        let answer = self.call(member, body)?;
        answer.first().and_then(Value::text).map(str::to_owned).context("systemd's answer has no job in it")
    }

    fn call(&mut self, member: &str, body: Vec<Value>) -> Result<Vec<Value>> {
        self.connection.call(Message::call(SERVICE, OBJECT, MANAGER, member, body))
    }

    /// Waits for the end of a job; how it ended is a word, `done` if all is well.
    fn wait_for(&mut self, job: &str) -> Result<String> {
        let removed = |message: &Message| match &message.body[..] {
            [_, Value::ObjectPath(removed), _, Value::String(result)]
                if message.member == "JobRemoved" && message.interface == MANAGER && removed == job =>
            {
                Some(result.clone())
            }
            _ => None,
        };
        self.connection
            .signal(PATIENCE, removed)?
            .with_context(|| format!("the job is not done after {} s", PATIENCE.as_secs()))
    }
}

/// The properties of a new unit: what it is, its first process, its limits (see [`super::properties::limits`]), and last
/// what its annotations ask for.
pub fn unit_properties(
    unit: &Unit,
    description: &str,
    first: Option<Pid>,
    limits: Vec<Property>,
    asked: Vec<Property>,
) -> Vec<Property> {
    let yes = |name: &str| (name.to_owned(), Value::Boolean(true));
    let mut all = vec![
        ("Description".to_owned(), Value::string(description)),
        ("DefaultDependencies".to_owned(), Value::Boolean(false)),
        yes("MemoryAccounting"),
        yes("CPUAccounting"),
        yes("IOAccounting"),
        yes("TasksAccounting"),
    ];
    if unit.is_slice() {
        // The slices above come with the name; this keeps the one that was asked for as long as this one.
        all.push(("Wants".to_owned(), Value::strings([&unit.slice])));
    } else {
        all.push(("Slice".to_owned(), Value::string(&unit.slice)));
        // The group is ours: systemd leaves alone what is below it and what it was not told.
        all.push(yes("Delegate"));
        // One that failed, by an OOM kill for one, goes away like one that ended.
        all.push(("CollectMode".to_owned(), Value::string("inactive-or-failed")));
    }
    all.extend(first.map(|first| ("PIDs".to_owned(), numbers(&[first]))));
    all.extend(limits);
    all.extend(asked);
    all
}

fn numbers(processes: &[Pid]) -> Value {
    let number = |pid: &Pid| Value::Uint32(pid.as_raw_nonzero().get().cast_unsigned());
    Value::Array("u".into(), processes.iter().map(number).collect())
}

fn pairs(properties: &[Property]) -> Value {
    let pair =
        |(name, value): &Property| Value::Structure(vec![Value::string(name), Value::Variant(Box::new(value.clone()))]);
    Value::Array("(sv)".into(), properties.iter().map(pair).collect())
}

/// Asks for a property of an object.
fn get(object: &str, interface: &str, name: &str) -> Message {
    let body = vec![Value::string(interface), Value::string(name)];
    Message::call(SERVICE, object, "org.freedesktop.DBus.Properties", "Get", body)
}

fn text_property(answer: Vec<Value>) -> Result<String> {
    match answer.first() {
        Some(Value::Variant(value)) => value.text().map(str::to_owned).context("it is not a text"),
        _ => bail!("the answer is {answer:?}"),
    }
}

/// The object that stands for a unit: what is no letter and no digit is written as `_` and two hexadecimal digits.
fn object_of(unit: &str) -> String {
    let letters = unit.bytes().map(|byte| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("_{other:02x}"),
    });
    format!("{OBJECT}/unit/{}", letters.collect::<String>())
}

/// The number that a version begins with: `252.38-1~deb12u1`, `v249.11`, `systemd 254`.
fn version_number(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_begin_with_a_number() {
        let versions = ["252.38-1~deb12u1", "v249.11-0ubuntu3", "254", "systemd 255 (255.4)", "", "main"];
        assert_eq!(versions.map(version_number), [252, 249, 254, 255, 0, 0]);
    }

    #[test]
    fn a_unit_is_an_object() {
        assert_eq!(object_of("docker-c0.scope"), "/org/freedesktop/systemd1/unit/docker_2dc0_2escope");
    }

    #[test]
    fn a_scope_has_a_process_and_a_slice_has_none() {
        let names = |path: &str, pid| {
            let unit = Unit::new(Some(path), "web", false).unwrap();
            let asked = vec![("Asked".to_owned(), Value::Boolean(true))];
            let all =
                unit_properties(&unit, "x", Pid::from_raw(pid), vec![("TasksMax".to_owned(), Value::Uint64(5))], asked);
            all.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let common = [
            "Description",
            "DefaultDependencies",
            "MemoryAccounting",
            "CPUAccounting",
            "IOAccounting",
            "TasksAccounting",
        ];
        let scope = ["Slice", "Delegate", "CollectMode", "PIDs", "TasksMax", "Asked"];
        assert_eq!(names("a.slice:p:n", 7), [&common[..], &scope].concat());
        assert_eq!(names("a.slice:p:a-b.slice", 0), [&common[..], &["Wants", "TasksMax", "Asked"]].concat());
    }

    #[test]
    fn properties_are_pairs_of_name_and_variant() {
        let value = pairs(&[("PIDs".to_owned(), numbers(&[Pid::from_raw(7).unwrap()]))]);
        assert_eq!(value.signature(), "a(sv)");
        let Value::Array(_, pairs) = value else { panic!() };
        assert_eq!(pairs[0].signature(), "(sv)");
    }
}
