//! `inspect`: all that is known of an image or a container.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::output::{complain, print};
use super::template::Template;
use super::{Context, Operation, size_of};
use crate::error::sentence;
use crate::image::config::Execution;
use crate::image::manifest::Descriptor;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::layers::TREE;
use crate::image::store::table::Image;

/// Show all that is known of containers, images, volumes or networks
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// json, or a template such as {{.Config.Env}}
    #[arg(short, long)]
    format: Option<String>,

    /// The platform of an image that has several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,

    /// What is looked at: container, image, volume or network; else whatever has the name, in this order
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    /// Show how much a container wrote
    #[arg(short, long)]
    size: bool,

    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Operation for Inspect {
    fn carry_out(self, context: &Context) -> Result<u8> {
        if let Some(kind) =
            self.kind.as_deref().filter(|kind| !matches!(*kind, "container" | "image" | "volume" | "network"))
        {
            bail!("\"{kind}\" is not a valid value for --type");
        }
        show_each(&self.names, self.format.as_deref(), |name| self.one(context, name))
    }
}

/// Shows all that can be shown, and says what can't.
pub(super) fn show_each(names: &[String], format: Option<&str>, look: impl Fn(&str) -> Result<Value>) -> Result<u8> {
    let mut found = Vec::new();
    let mut status = 0;
    for name in names {
        match look(name) {
            Ok(one) => found.push(one),
            Err(error) => {
                complain(&format!("Error: {}\n", sentence(&error)));
                status = 1;
            }
        }
    }
    print(&shown(&found, format)?)?;
    Ok(status)
}

impl Inspect {
    /// `container inspect`.
    pub(super) fn of_containers(self) -> Inspect {
        Inspect { kind: Some("container".into()), ..self }
    }

    /// `image inspect`.
    pub(super) fn of_images(self) -> Inspect {
        Inspect { kind: Some("image".into()), ..self }
    }

    fn one(&self, context: &Context, name: &str) -> Result<Value> {
        let is_wanted = |kind: &str| self.kind.as_deref().is_none_or(|wanted| wanted == kind);
        if context.has_containers() && is_wanted("container") {
            let engine = context.engine()?;
            match engine.find(name) {
                Ok(container) => {
                    let mut described = super::container::described(&container)?;
                    if self.size {
                        let upper = container.directory().join("upper");
                        let own = crate::image::store::collect::usage(&upper);
                        described["SizeRw"] = own.into();
                        described["SizeRootFs"] = (own + super::container::size_of_image(&container)).into();
                    }
                    return Ok(described);
                }
                Err(error) if self.kind.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        let store = context.store()?;
        if is_wanted("image") {
            match store.resolve(name, self.platform.as_ref()) {
                Ok(image) => return described(&store, &image),
                Err(error) if self.kind.is_some() || !context.has_containers() => return Err(error),
                // There is one, but not for the platform, for instance.
                Err(error) if !error.to_string().starts_with("No such image") => return Err(error),
                Err(_) => {}
            }
        }
        let engine = context.engine()?;
        if is_wanted("volume") {
            match engine.volume(name) {
                Ok(volume) => return Ok(super::volume::described(&engine, &volume)),
                Err(error) if self.kind.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        match super::network::described(context, name) {
            Err(error) if self.kind.is_none() => match sentence(&error) {
                missing if missing.ends_with("not found") => bail!("No such object: {name}"),
                other => bail!("No such object: {name} ({other})"),
            },
            described => described,
        }
    }
}

/// What was found, as a format wants it.
fn shown(found: &[Value], format: Option<&str>) -> Result<String> {
    match format {
        None => indented(&found),
        Some("json") => Ok(serde_json::to_string(&found)? + "\n"),
        Some(format) => {
            let template = Template::parse(format)?;
            found.iter().map(|one| Ok(rendered(&template, one)? + "\n")).collect()
        }
    }
}

/// docker knows the field `Id` of JSON as `ID`, too, which is its name in docker's own types.
fn rendered(template: &Template, one: &Value) -> Result<String> {
    template.render(one).or_else(|error| {
        let mut other = one.clone();
        let Some(id) = one.get("Id") else { return Err(error) };
        other["ID"] = id.clone();
        template.render(&other).map_err(|_| error)
    })
}

/// With four blanks, as docker has it.
fn indented(value: &impl serde::Serialize) -> Result<String> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8(bytes)? + "\n")
}

/// As docker describes it; the configuration has all its fields, whether the image sets them or not.
fn described(store: &Store, image: &Image) -> Result<Value> {
    let config = &image.config;
    let chain = config.chain();
    let tree = |chain_id| store.layer_path(chain_id).join(TREE).display().to_string();
    let lower: Vec<String> = chain.iter().rev().map(tree).collect();
    let size = size_of(store, image);
    let mut digests: Vec<String> =
        image.names.iter().map(|name| format!("{}@{}", name.familiar_name(), image.entry.digest)).collect();
    digests.dedup();
    // Where builders, `commit` and `import` write what was said of it.
    let of_history = || config.history.last().map_or("", |last| last.comment.as_str());
    let comment = Some(config.comment.as_str()).filter(|comment| !comment.is_empty()).unwrap_or_else(of_history);
    let mut described = json!({
        "Id": image.id,
        "RepoTags": image.names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect::<Vec<_>>(),
        "RepoDigests": digests,
        "Parent": "",
        "Comment": comment,
        "Created": config.created,
        "Author": config.author,
        "Config": of_execution(&config.config),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "UpperDir": lower.first(),
                "LowerDir": lower.get(1..).unwrap_or_default().join(":"),
            },
        },
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": Value::Null },
    });
    // Without the table's annotations, which are the names above.
    let descriptor = Descriptor { annotations: Default::default(), ..image.descriptor.clone() };
    described["Descriptor"] = serde_json::to_value(&descriptor)?;
    Ok(described)
}

/// What is run of it.
fn of_execution(run: &Execution) -> Value {
    let or_null = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    json!({
        "User": run.user,
        "ExposedPorts": run.exposed_ports,
        "Env": run.env,
        "Entrypoint": or_null(&run.entrypoint),
        "Cmd": or_null(&run.cmd),
        "Volumes": run.volumes,
        "WorkingDir": run.working_dir,
        "Labels": run.labels,
        "StopSignal": run.stop_signal,
        "OnBuild": or_null(&run.on_build),
        "Shell": or_null(&run.shell),
        "Healthcheck": run.healthcheck,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_has_two_names_in_templates() {
        let found = [json!({"Id": "c0ffee", "Name": "web"})];
        for template in ["{{.ID}}", "{{.Id}}"] {
            assert_eq!(shown(&found, Some(template)).unwrap(), "c0ffee\n");
        }
        assert_eq!(shown(&found, Some("json")).unwrap(), "[{\"Id\":\"c0ffee\",\"Name\":\"web\"}]\n");
        let error = sentence(&shown(&found, Some("{{.ID}} {{.Nothing}}")).unwrap_err());
        assert!(error.contains("ID"), "{error}");
        assert!(shown(&[json!({"Name": "web"})], Some("{{.ID}}")).is_err());
    }
}
