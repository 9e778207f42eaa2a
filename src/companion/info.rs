//! `info` and `version`.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::output::print;
use super::template::Template;
use super::{Context, Operation};
use crate::engine::group;
use crate::engine::state::Status;

/// Show what there is on this machine
#[derive(Debug, Args)]
pub(super) struct Info {
    /// json, or a template
    #[arg(short, long)]
    format: Option<String>,
}

/// Show the version
#[derive(Debug, Args)]
pub(super) struct Version {
    /// json, or a template
    #[arg(short, long)]
    format: Option<String>,
}

impl Operation for Info {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let engine = context.engine()?;
        let (mut running, mut paused, mut stopped) = (0, 0, 0);
        for container in engine.all()? {
            match container.state().map(|state| state.status) {
                Ok(Status::Running | Status::Restarting) => running += 1,
                Ok(Status::Paused) => paused += 1,
                _ => stopped += 1,
            }
        }
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let info = json!({
            "Containers": running + paused + stopped,
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": stopped,
            "Images": engine.store.images(|_| {})?.len(),
            "Driver": "overlay",
            "CgroupDriver": group::manager().to_string(),
            "CgroupVersion": "2",
            "LoggingDriver": "json-file",
            "DefaultRuntime": "corten",
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "KernelVersion": text(system.release()),
            "OSType": "linux",
            "Architecture": text(system.machine()),
            "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "Name": text(system.nodename()),
            "DockerRootDir": engine.store.root(),
        });
        show(&info, self.format.as_deref())
    }
}

impl Operation for Version {
    fn carry_out(self, _: &Context) -> Result<u8> {
        let version = json!({
            "Version": env!("CARGO_PKG_VERSION"),
            "RuntimeSpec": crate::spec::VERSION,
            "Os": "linux",
            "Arch": std::env::consts::ARCH,
            "KernelVersion": rustix::system::uname().release().to_string_lossy(),
        });
        show(&version, self.format.as_deref())
    }
}

/// A line for each field, or as it is asked for.
fn show(what: &Value, format: Option<&str>) -> Result<u8> {
    let lines = |fields: &serde_json::Map<String, Value>| -> String {
        let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        fields.iter().map(|(key, field)| format!("{key}: {}\n", value(field))).collect()
    };
    print(&match format {
        Some("json") => what.to_string() + "\n",
        Some(format) => Template::parse(format)?.render(what)? + "\n",
        None => what.as_object().map(lines).unwrap_or_default(),
    })?;
    Ok(0)
}
