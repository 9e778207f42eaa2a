//! What a person does at a terminal, in tmux: types, leaves, comes back, drags the window.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};

use super::screen::Screen;
use crate::harness::command::Run;
use crate::harness::host::{Host, installed};
use crate::harness::image;
use crate::harness::network::{elsewhere, new_network};
use crate::harness::trial::Skip;

type Case = fn(&mut Person) -> Result<()>;

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_person_runs_a_shell", runs_a_shell),
        ("a_person_leaves_by_keys_and_comes_back", leaves_and_comes_back),
        ("a_person_chooses_the_keys", chooses_the_keys),
        ("a_person_drags_the_window", drags_the_window),
        ("a_person_presses_ctrl_c", presses_ctrl_c),
        ("a_person_looks_into_a_container", looks_into_a_container),
        ("a_person_follows_a_log_and_stops", follows_a_log_and_stops),
        ("a_person_is_asked", is_asked),
    ]
}

/// Somebody with a terminal, and a store of `ctn`.
pub(super) struct Person {
    host: Arc<Host>,
    directory: PathBuf,
    screen: Screen,
}

const CTN: &str = env!("CARGO_BIN_EXE_ctn");

pub(super) fn on_screen(host: &Arc<Host>, case: Case) -> Result<()> {
    if !installed("tmux") {
        return Err(Skip("tmux is not installed".to_string()).into());
    }
    elsewhere(new_network, || {
        let directory = host.new_directory("person")?;
        let store = directory.join("store").display().to_string();
        let mut screen = Screen::open(host, &directory, 80, 24, &[("CTN_ROOT", &store)])?;
        screen.type_in(&format!("ctn() {{ '{CTN}' \"$@\"; }}; echo se''t"))?;
        screen.until("set\r\nended with 0. ")?;
        let mut person = Person { host: Arc::clone(host), directory, screen };
        person.ctn(&["load", "--quiet", "--input", &host.image.display().to_string()])?;
        person.ctn(&["tag", image::NAME, "box"])?;
        let ended = case(&mut person);
        let containers = person.ctn(&["ps", "--all", "--quiet"])?;
        if !containers.is_empty() {
            person.ctn(&[&["rm", "--force"][..], &containers.lines().collect::<Vec<_>>()].concat())?;
        }
        ended
    })
}

impl Person {
    /// A look from elsewhere.
    fn ctn(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(CTN);
        self.host.prepare(&mut command);
        command.env("CTN_ROOT", self.directory.join("store")).args(arguments);
        Run::from(command).stdout()
    }

    fn field(&self, name: &str, template: &str) -> Result<String> {
        self.ctn(&["inspect", "--format", &format!("{{{{{template}}}}}"), name])
    }

    /// The container's shell asks for a line. It has asked the terminal, too, where the cursor is: an answer that comes after the keys
    /// that detach would be typed into the shell on this side.
    fn prompt(&mut self) -> Result<()> {
        self.screen.until("# ")?;
        self.screen.until("\x1b[6n")
    }

    /// The shell on this side is back, and its prompt has the status of what was typed.
    fn ended(&mut self, status: u8) -> Result<()> {
        self.screen.until(&format!("ended with {status}. "))
    }
}

fn runs_a_shell(person: &mut Person) -> Result<()> {
    person.screen.type_in("ctn run -it --rm --network none -h inside box")?;
    person.prompt()?;
    person.screen.type_in("echo $(hostname) $(tty) $TERM $(stty size)")?;
    person.screen.until("inside /dev/pts/0 xterm 24 80")?;
    // The line that is typed is edited in the container.
    person.screen.keys(&["e", "c", "h", "o", "Space", "w", "x", "BSpace", "rong", "C-u"])?;
    person.screen.type_in("echo ri''ght")?;
    person.screen.until("right")?;
    ensure!(person.screen.contents()?.contains("right"), "{}", person.screen.contents()?);
    person.screen.type_in("exit 7")?;
    person.ended(7)?;
    ensure!(person.ctn(&["ps", "-aq"])?.is_empty(), "the container was not removed");
    // The terminal is as it was: it has no echo, and lines.
    person.screen.type_in("stty -a | grep -o -e '-echo ' -e ' icanon' | tr -d '\\n'; echo .")?;
    person.screen.until(" icanon-echo .")
}

fn leaves_and_comes_back(person: &mut Person) -> Result<()> {
    person.screen.type_in("ctn run -it --name shell --network none box")?;
    person.prompt()?;
    person.screen.type_in("mine=kept")?;
    person.prompt()?;
    // The first of the keys alone goes to the program.
    person.screen.keys(&["C-p", "C-q"])?;
    person.ended(0)?;
    ensure!(person.field("shell", ".State.Status")? == "running", "it doesn't run any more");
    person.screen.type_in("ctn attach shell")?;
    person.screen.type_in("echo $mine $$")?;
    person.screen.until("kept 1")?;
    person.prompt()?;
    person.screen.keys(&["C-p", "C-q"])?;
    person.ended(0)?;
    person.screen.type_in("ctn start -ai shell")?;
    person.screen.type_in("echo aga''in; exit 3")?;
    person.screen.until("again")?;
    person.ended(3)
}

fn chooses_the_keys(person: &mut Person) -> Result<()> {
    person.screen.type_in("ctn run -it --name shell --network none --detach-keys ctrl-a,d box")?;
    person.prompt()?;
    // docker's own keys are the program's now: busybox's ctrl-p is the line before.
    person.screen.type_in("echo bef''ore")?;
    person.screen.until("before")?;
    person.screen.keys(&["C-p", "C-q", "Enter"])?;
    person.screen.until("before")?;
    person.prompt()?;
    person.screen.keys(&["C-a", "d"])?;
    person.ended(0)?;
    person.screen.type_in("ctn attach --detach-keys x shell")?;
    person.screen.type_in("echo h''ere")?;
    person.screen.until("here")?;
    person.prompt()?;
    person.screen.keys(&["x"])?;
    person.ended(0)?;
    ensure!(person.field("shell", ".State.Status")? == "running", "it doesn't run any more");
    Ok(())
}

fn drags_the_window(person: &mut Person) -> Result<()> {
    const WATCH: &str = "trap 'echo now $(stty size).' WINCH; echo watch''ing; while :; do read -t 1 line; done";
    person.screen.type_in("ctn run -it --name shell --network none box")?;
    person.prompt()?;
    person.screen.type_in(WATCH)?;
    person.screen.until("watching")?;
    person.screen.resize(100, 30)?;
    person.screen.until("now 30 100.")?;
    person.screen.resize(60, 20)?;
    person.screen.until("now 20 60.")?;
    person.screen.keys(&["C-p", "C-q"])?;
    person.ended(0)?;
    // Nobody looks; whoever comes back has another window.
    person.screen.resize(90, 25)?;
    person.screen.type_in("ctn attach shell")?;
    person.screen.until("now 25 90.")?;
    person.screen.keys(&["C-p", "C-q"])?;
    person.ended(0)?;
    person.screen.type_in("ctn exec -it shell sh")?;
    person.prompt()?;
    person.screen.type_in(WATCH)?;
    person.screen.until("watching")?;
    person.screen.resize(70, 22)?;
    person.screen.until("now 22 70.")
}

fn presses_ctrl_c(person: &mut Person) -> Result<()> {
    const SCRIPT: &str = "trap \"echo cau''ght; exit 6\" INT; echo wait''ing; while :; do sleep 0.05; done";
    // With a terminal the key is the container's; without one the caller's signal is passed on.
    for flags in ["-it", ""] {
        person.screen.type_in(&format!("ctn run {flags} --rm --network none box sh -c '{SCRIPT}'"))?;
        person.screen.until("waiting")?;
        person.screen.keys(&["C-c"])?;
        person.screen.until("caught")?;
        person.ended(6)?;
    }
    Ok(())
}

fn looks_into_a_container(person: &mut Person) -> Result<()> {
    person.ctn(&["run", "-d", "--name", "web", "--network", "none", "box", "sleep", "1000"])?;
    person.screen.type_in("ctn exec -it -e LOOK=here -w /etc web sh")?;
    person.prompt()?;
    person.screen.type_in("echo $(pwd) $LOOK $(tty)")?;
    person.screen.until("/etc here /dev/pts/0")?;
    person.screen.keys(&["C-c"])?;
    person.screen.type_in("echo st''ill")?;
    person.screen.until("still")?;
    person.screen.keys(&["C-d"])?;
    person.ended(0)?;
    person.screen.type_in("ctn exec -it web sh")?;
    person.prompt()?;
    person.screen.keys(&["C-p", "C-q"])?;
    person.ended(0)?;
    ensure!(person.ctn(&["top", "web", "-eo", "pid,comm"])?.lines().count() == 3, "the shell is gone");
    Ok(())
}

fn follows_a_log_and_stops(person: &mut Person) -> Result<()> {
    person.ctn(&[
        "run",
        "-d",
        "-i",
        "--name",
        "web",
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "echo fi''rst; mkfifo /go; read x < /go; echo $x; sleep 1000",
    ])?;
    person.screen.type_in("ctn logs -f web")?;
    person.screen.until("first")?;
    person.ctn(&["exec", "web", "sh", "-c", "echo second > /go"])?;
    person.screen.until("second")?;
    person.screen.keys(&["C-c"])?;
    person.ended(130)?;
    ensure!(person.field("web", ".State.Status")? == "running", "the signal was passed on");
    Ok(())
}

fn is_asked(person: &mut Person) -> Result<()> {
    person.ctn(&["create", "--name", "one", "--network", "none", "box"])?;
    person.screen.type_in("ctn container prune")?;
    person.screen.until("Are you sure you want to continue? [y/N]")?;
    person.screen.type_in("n")?;
    person.ended(0)?;
    ensure!(person.ctn(&["ps", "-aq"])?.lines().count() == 1, "it was removed");
    person.screen.type_in("ctn container prune")?;
    person.screen.until("[y/N]")?;
    person.screen.type_in("y")?;
    person.screen.until("Deleted Containers:")?;
    person.ended(0)?;
    ensure!(person.ctn(&["ps", "-aq"])?.is_empty(), "it is there still");
    Ok(())
}
