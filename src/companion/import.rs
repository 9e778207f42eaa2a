//! `import`: an image of one layer from an archive of files.

use std::fs::File;
use std::io::Read;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::commit::{Packed, created, packed, source_date_epoch};
use super::output::{print, warn};
use super::registry::Connection;
use super::{Context, Operation};
use crate::error::Attempt;
use crate::image::layer::compression::decoder;
use crate::image::manifest::Manifest;
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::registry::file;
use crate::image::store::intake::Intake;

/// Make an image of one layer from an archive of files
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Change the configuration by an instruction, such as `CMD ["sh"]`, `ENV A=1`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,

    /// Say where it is from
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,

    /// The platform that it is for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// A file, an address of the web, or - for the standard input
    #[arg(value_name = "FILE|URL|-")]
    archive: String,

    /// The name that the image gets
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<Reference>,
}

impl Operation for Import {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let mut intake = Intake::new(&store)?;
        let input: Box<dyn Read + Send> = match self.archive.as_str() {
            "-" => Box::new(std::io::stdin()),
            address if file::is_address(address) => {
                Box::new(file::open(&Connection::default().client(context)?, address)?)
            }
            path => Box::new(File::open(path).attempt(|| format!("open {path:?}"))?),
        };
        let (_, mut content) = decoder(input)?;
        let (layer, diff_id) = packed(&intake, media_type::OCI_CONFIG, Packed::Gzip, |mut output| {
            std::io::copy(&mut content, &mut output).map(drop).with_context(|| format!("read {:?}", self.archive))
        })?;
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        let created = created(source_date_epoch()?);
        let mut config = json!({
            "created": created,
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": created, "created_by": "ctn import", "comment": self.message}],
        });
        if !platform.variant.is_empty() {
            config["variant"] = platform.variant.into();
        }
        for instruction in &self.change {
            change(&mut config["config"], instruction)?;
        }
        let config = intake.bytes(media_type::OCI_CONFIG, &serde_json::to_vec(&config)?)?;
        let id = config.digest.clone();
        let manifest = serde_json::to_vec(&Manifest::new(config, vec![layer]))?;
        let entry = intake.bytes(media_type::OCI_MANIFEST, &manifest)?;
        let names: Vec<Reference> = self.name.clone().map(Reference::or_latest).into_iter().collect();
        intake.image(&store, &entry, &names).with_context(|| format!("import {:?}", self.archive))?;
        warn(&intake.commit()?);
        print(&format!("{id}\n"))?;
        Ok(0)
    }
}

/// Changes a configuration by an instruction of a Dockerfile.
pub(super) fn change(config: &mut Value, instruction: &str) -> Result<()> {
    let (word, rest) = instruction.trim().split_once(char::is_whitespace).unwrap_or((instruction.trim(), ""));
    let rest = rest.trim();
    ensure!(!rest.is_empty(), "--change {instruction:?}: the instruction says nothing");
    let list = || -> Value {
        match serde_json::from_str::<Vec<String>>(rest) {
            Ok(list) => json!(list),
            Err(_) => json!(["/bin/sh", "-c", rest]),
        }
    };
    let words = || -> Vec<String> {
        serde_json::from_str(rest).unwrap_or_else(|_| rest.split_whitespace().map(str::to_owned).collect())
    };
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config["Cmd"] = list(),
        "ENTRYPOINT" => config["Entrypoint"] = list(),
        "USER" => config["User"] = rest.into(),
        "WORKDIR" => config["WorkingDir"] = rest.into(),
        "STOPSIGNAL" => config["StopSignal"] = rest.into(),
        "ENV" => {
            for (name, value) in pairs(rest).with_context(|| format!("--change {instruction:?}"))? {
                let mut all: Vec<String> = serde_json::from_value(config["Env"].take()).unwrap_or_default();
                all.retain(|line| !line.starts_with(&format!("{name}=")));
                all.push(format!("{name}={value}"));
                config["Env"] = all.into();
            }
        }
        "LABEL" => {
            for (name, value) in pairs(rest).with_context(|| format!("--change {instruction:?}"))? {
                config["Labels"][name] = value.into();
            }
        }
        "EXPOSE" => {
            for port in words() {
                let port = if port.contains('/') { port } else { port + "/tcp" };
                config["ExposedPorts"][port] = json!({});
            }
        }
        "VOLUME" => {
            for volume in words() {
                config["Volumes"][volume] = json!({});
            }
        }
        "ONBUILD" => {
            let mut all: Vec<String> = serde_json::from_value(config["OnBuild"].take()).unwrap_or_default();
            all.push(rest.into());
            config["OnBuild"] = all.into();
        }
        other => bail!("--change {instruction:?}: {other} can't be used here"),
    }
    Ok(())
}

/// `NAME=value …` with quotes and backslashes, or the old form `NAME value`.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).context("a value is missing")?;
        return Ok(vec![(name.into(), value.trim().into())]);
    }
    let mut words = vec![String::new()];
    let (mut quote, mut letters) = (None, text.chars());
    while let Some(letter) = letters.next() {
        let word = words.last_mut().context("there is a word")?;
        match (letter, quote) {
            ('\\', None | Some('"')) => word.extend(letters.next()),
            ('"' | '\'', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (letter, None) if letter.is_whitespace() => words.push(String::new()),
            (letter, _) => word.push(letter),
        }
    }
    ensure!(quote.is_none(), "a quote is not closed");
    let words = words.into_iter().filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (name, value) = word.split_once('=').with_context(|| format!("{word:?} has no ="))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = json!({"Env": ["A=old", "B=2"]});
        for instruction in [
            "CMD [\"sh\", \"-c\", \"x\"]",
            "entrypoint echo hi",
            "ENV A=\"a b\" C='c d'",
            "ENV D some value",
            "LABEL x.y=z",
            "EXPOSE 80 53/udp",
            "VOLUME [\"/data\"]",
            "USER 1:2",
            "WORKDIR /w",
            "ONBUILD RUN x",
        ] {
            change(&mut config, instruction).unwrap_or_else(|error| panic!("{instruction}: {error:#}"));
        }
        assert_eq!(
            config,
            json!({
                "Env": ["B=2", "A=a b", "C=c d", "D=some value"], "Cmd": ["sh", "-c", "x"],
                "Entrypoint": ["/bin/sh", "-c", "echo hi"], "Labels": {"x.y": "z"},
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}},
                "User": "1:2", "WorkingDir": "/w", "OnBuild": ["RUN x"],
            })
        );
        for wrong in ["RUN x", "CMD", "ENV A", "ENV A=\"x"] {
            assert!(change(&mut json!({}), wrong).is_err(), "{wrong}");
        }
    }
}
