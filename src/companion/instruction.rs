//! Instructions of a Dockerfile that change an image's configuration: `--change`.

mod words;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::engine::options::duration;
use crate::engine::record::HealthCheck;
use crate::image::layer::path;
use words::{expanded, split};

/// Changes a configuration. As docker has it, variables of the configuration are known, but for what a program or its shell reads.
pub(super) fn change(config: &mut Value, instruction: &str) -> Result<()> {
    changed(config, instruction.trim()).with_context(|| format!("--change {instruction:?}"))
}

fn changed(config: &mut Value, instruction: &str) -> Result<()> {
    let (word, rest) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
    let rest = rest.trim();
    ensure!(!rest.is_empty(), "the instruction says nothing");
    let env: Vec<String> = serde_json::from_value(config["Env"].clone()).unwrap_or_default();
    let all = || match serde_json::from_str::<Vec<String>>(rest) {
        Ok(list) => Ok(list),
        Err(_) => split(rest, &env),
    };
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config["Cmd"] = program(rest),
        "ENTRYPOINT" => config["Entrypoint"] = program(rest),
        "USER" => config["User"] = expanded(rest, &env)?.into(),
        "WORKDIR" => {
            let before = config["WorkingDir"].as_str().unwrap_or_default();
            config["WorkingDir"] = directory(before, &expanded(rest, &env)?).into();
        }
        "STOPSIGNAL" => config["StopSignal"] = expanded(rest, &env)?.into(),
        "ENV" => config["Env"] = pairs(rest, &env)?.into_iter().fold(env, with_variable).into(),
        "LABEL" => {
            for (name, value) in pairs(rest, &env)? {
                config["Labels"][name] = value.into();
            }
        }
        "EXPOSE" => {
            for port in all()? {
                let port = if port.contains('/') { port } else { port + "/tcp" };
                config["ExposedPorts"][port] = json!({});
            }
        }
        "VOLUME" => {
            for volume in all()? {
                config["Volumes"][volume] = json!({});
            }
        }
        "HEALTHCHECK" => config["Healthcheck"] = serde_json::to_value(health(rest)?)?,
        "ONBUILD" => {
            let mut all: Vec<String> = serde_json::from_value(config["OnBuild"].take()).unwrap_or_default();
            all.push(rest.into());
            config["OnBuild"] = all.into();
        }
        other => bail!("{other} can't be used here"),
    }
    Ok(())
}

/// A list, or a line for the shell.
fn program(text: &str) -> Value {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(list) => json!(list),
        Err(_) => json!(["/bin/sh", "-c", text]),
    }
}

/// A path below the directory that was before, unless it is absolute.
fn directory(before: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{before}/{path}") };
    format!("/{}", String::from_utf8_lossy(&path::clean(whole.as_bytes())).trim_start_matches('/'))
}

/// A variable is where it was.
fn with_variable(mut env: Vec<String>, (name, value): (String, String)) -> Vec<String> {
    let line = format!("{name}={value}");
    let is_named = |known: &&mut String| known.split_once('=').is_some_and(|(known, _)| known == name);
    match env.iter_mut().find(is_named) {
        Some(known) => *known = line,
        None => env.push(line),
    }
    env
}

/// `NAME=value …`, or the old form `NAME value`.
fn pairs(text: &str, env: &[String]) -> Result<Vec<(String, String)>> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).context("a value is missing")?;
        return Ok(vec![(name.into(), expanded(value.trim(), env)?)]);
    }
    let words = split(text, env)?.into_iter();
    words
        .map(|word| {
            let (name, value) = word.split_once('=').with_context(|| format!("{word:?} has no ="))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// `NONE`, or `[--interval=30s …] CMD PROGRAM`.
fn health(text: &str) -> Result<HealthCheck> {
    let mut check = HealthCheck::default();
    let mut rest = text;
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (name, value) = flag.split_once('=').with_context(|| format!("{flag} has no value"))?;
        match name {
            "--interval" => check.interval = duration(value)?,
            "--timeout" => check.timeout = duration(value)?,
            "--start-period" => check.start_period = duration(value)?,
            "--start-interval" => check.start_interval = duration(value)?,
            "--retries" => check.retries = value.parse().with_context(|| format!("{value:?} is no number"))?,
            _ => bail!("unknown flag: {name}"),
        }
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (kind.to_ascii_uppercase().as_str(), serde_json::from_str::<Vec<String>>(command)) {
        ("NONE", _) => vec!["NONE".into()],
        ("CMD", Ok(list)) if !list.is_empty() => [vec!["CMD".into()], list].concat(),
        ("CMD", Err(_)) if !command.trim().is_empty() => vec!["CMD-SHELL".into(), command.trim().into()],
        ("CMD", _) => bail!("the program is missing"),
        _ => bail!("unknown type {kind:?}: there are NONE and CMD"),
    };
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = json!({"Env": ["A=old", "B=2"], "WorkingDir": "/srv"});
        for instruction in [
            "CMD [\"sh\", \"-c\", \"$B\"]",
            "entrypoint echo $B",
            "ENV A=\"a b\" C='c $B' E=$A:${B}",
            "ENV D some $A",
            "LABEL x.y=z$B",
            "EXPOSE 80 53/udp 9$B",
            "VOLUME [\"/data\"]",
            "USER 1:$B",
            "WORKDIR w/$B/..",
            "STOPSIGNAL USR$B",
            "HEALTHCHECK --interval=5s --retries=2 CMD test $B",
            "ONBUILD RUN x",
        ] {
            change(&mut config, instruction).unwrap_or_else(|error| panic!("{instruction}: {error:#}"));
        }
        assert_eq!(
            config,
            json!({
                "Env": ["A=a b", "B=2", "C=c $B", "E=old:2", "D=some a b"], "Cmd": ["sh", "-c", "$B"],
                "Entrypoint": ["/bin/sh", "-c", "echo $B"], "Labels": {"x.y": "z2"},
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "92/tcp": {}}, "Volumes": {"/data": {}},
                "User": "1:2", "WorkingDir": "/srv/w", "StopSignal": "USR2", "OnBuild": ["RUN x"],
                "Healthcheck": {"Test": ["CMD-SHELL", "test $B"], "Interval": 5_000_000_000u64, "Retries": 2},
            })
        );
        for wrong in
            ["RUN x", "CMD", "ENV A", "ENV A=\"x", "HEALTHCHECK true", "HEALTHCHECK CMD", "HEALTHCHECK --x=1 NONE"]
        {
            assert!(change(&mut json!({}), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn healths_and_directories() {
        assert_eq!(health("none").unwrap().test, ["NONE"]);
        assert_eq!(health("--timeout=1m CMD [\"a\", \"b\"]").unwrap().test, ["CMD", "a", "b"]);
        for (before, path, wanted) in [("", "a", "/a"), ("/a", "..", "/"), ("/a", "/b/", "/b"), ("", "/", "/")] {
            assert_eq!(directory(before, path), wanted);
        }
    }
}
