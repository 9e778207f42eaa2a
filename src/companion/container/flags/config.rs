//! From flags and an image to what is asked for: docker's rules for which of them counts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Flags;
use super::root::Root;
use crate::engine::Wanted;
use crate::engine::options::{self, environment, ports};
use crate::engine::record::{Config, Record};
use crate::image::config::Execution;
use crate::image::store::table::Image;

impl Flags {
    /// Refuses what no image makes good, before one is pulled.
    pub(in crate::companion::container) fn check(&self) -> Result<()> {
        options::volume_driver(&self.volume_driver)?;
        options::runtime(&self.runtime)?;
        options::umask(&self.umask)?;
        ensure!(!self.replace || self.name.is_some(), "cannot replace a container without --name being given");
        let host = self.host()?;
        let is_limited = options::storage(&host.storage_opt)?.is_some();
        ensure!(
            !(self.rootfs && is_limited),
            "conflicting options: --storage-opt limits what is written over an image"
        );
        self.memberships()?;
        ensure!(!self.no_healthcheck || !self.asks_health(), "--no-healthcheck conflicts with --health-* options");
        Ok(())
    }

    /// The record that they ask for, of an image or of a root directory.
    pub(in crate::companion::container) fn wanted(self, image: Option<Image>, attached: bool) -> Result<Wanted> {
        let (name, command) = self.what.split_first().context("an image is required")?;
        let root = self.rootfs.then(|| Root::of(name)).transpose()?;
        let run = match (&image, &root) {
            (Some(image), _) => image.config.config.clone(),
            (None, Some(root)) => root.execution.clone(),
            (None, None) => Execution::default(),
        };
        let files = self.env_file.iter().map(|path| environment::file(path)).collect::<Result<Vec<_>>>()?;
        let variables = self.env.iter().map(|text| environment::variable(text)).collect::<Result<Vec<_>>>()?;
        let env = environment::merged(&run.env, files.into_iter().flatten().chain(variables));
        let (entrypoint, cmd) = self.program(&run, command)?;
        let labels = self.labels(&run)?;
        let mut host_config = self.host()?;
        let exposed_ports = self.exposed(&run, &host_config.port_bindings)?;
        let said = |flag: &Option<String>| flag.clone().filter(|text| !text.is_empty());
        let working_dir = said(&self.workdir).unwrap_or(run.working_dir.clone());
        ensure!(
            working_dir.is_empty() || working_dir.starts_with('/'),
            "the working directory '{working_dir}' is invalid, it needs to be an absolute path"
        );
        let config = Config {
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            user: said(&self.user).unwrap_or(run.user.clone()),
            attach_stdin: self.interactive && attached,
            attach_stdout: attached,
            attach_stderr: attached,
            exposed_ports,
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive && attached,
            env,
            cmd,
            healthcheck: self.health(run.healthcheck.clone())?,
            image: name.clone(),
            volumes: run.volumes.clone(),
            working_dir,
            entrypoint,
            labels,
            stop_signal: self.signal(&run)?,
            stop_timeout: self.stop_timeout,
            umask: self.umask.clone(),
        };
        let mounts = self.mounts(run.volumes.keys(), &host_config)?;
        let networks = self.memberships()?;
        if let Some(root) = &root {
            host_config.readonly_rootfs |= root.is_read_only;
            if self.user.is_none() {
                host_config.group_add.extend_from_slice(&root.groups);
            }
        }
        let rootfs = root.map(|root| root.path);
        let record = Record { config, host_config, mounts, rootfs, networks, ..Record::default() };
        Ok(Wanted { record, name: self.name, image, replaces: self.replace, starts: false })
    }

    /// The entry point and its arguments.
    fn program(&self, run: &Execution, command: &[String]) -> Result<(Vec<String>, Vec<String>)> {
        let entrypoint = match self.entrypoint.as_deref() {
            None => run.entrypoint.clone(),
            Some("") => Vec::new(),
            Some(program) => vec![program.to_owned()],
        };
        // A new entry point makes the image's arguments meaningless.
        let cmd = match (command, &self.entrypoint) {
            ([], Some(_)) => Vec::new(),
            ([], None) => run.cmd.clone(),
            (command, _) => command.to_vec(),
        };
        ensure!(!entrypoint.is_empty() || !cmd.is_empty(), "no command specified");
        Ok((entrypoint, cmd))
    }

    /// The ports that it listens on, as far as anybody says so.
    fn exposed(&self, run: &Execution, published: &ports::Bindings) -> Result<BTreeMap<String, Value>> {
        let mut exposed = BTreeMap::new();
        for port in run.exposed_ports.keys().chain(&self.expose) {
            exposed.extend(ports::exposed(port)?.into_iter().map(|port| (port, json!({}))));
        }
        exposed.extend(published.keys().map(|port| (port.clone(), json!({}))));
        Ok(exposed)
    }

    /// That by which it is stopped.
    fn signal(&self, run: &Execution) -> Result<String> {
        let signal = self.stop_signal.as_ref().unwrap_or(&run.stop_signal);
        if !signal.is_empty() {
            let known = crate::cli::signal::parse(signal).is_ok_and(|known| known.0 != 0);
            ensure!(known, "Invalid signal: {signal}");
        }
        Ok(signal.clone())
    }

    fn labels(&self, run: &Execution) -> Result<BTreeMap<String, String>> {
        let mut labels = run.labels.clone();
        for path in &self.label_file {
            labels.extend(environment::file(path)?.iter().map(|line| options::pair(line)));
        }
        labels.extend(self.label.iter().map(|text| options::pair(text)));
        Ok(labels)
    }
}
