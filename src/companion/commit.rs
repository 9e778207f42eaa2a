//! `commit`: an image from the changes of a container or a bundle.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::diff::{bundle_image, of_bundle};
use super::output::print;
use super::{Context, Operation};
use crate::engine::changes_of;
use crate::engine::record::Config;
use crate::error::Attempt;
use crate::image::digest::{Digest, Hashed};
use crate::image::layer::gzip;
use crate::image::layer::pack::pack;
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::media_type;
use crate::image::reference::Reference;
use crate::image::store::intake::{Intake, layer_type};
use crate::image::store::table::Image;

/// Make an image from the changes of a container, or of a bundle that `ctn unpack` made
#[derive(Debug, Args)]
pub(super) struct Commit {
    /// Who made it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,

    /// Change the configuration by an instruction, such as `CMD ["sh"]`, `ENV A=1`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,

    /// Say what it is for
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,

    /// The family of the manifest
    #[arg(short, long, value_enum, default_value = "oci")]
    format: Family,

    /// How the layer is compressed
    #[arg(long, value_enum, default_value = "gzip")]
    compression: Packed,

    /// Freeze a container meanwhile
    #[arg(short, long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pause: bool,

    /// A container's name or id, or a bundle's directory
    #[arg(value_name = "CONTAINER|BUNDLE")]
    what: String,

    /// The name that the image gets
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<Reference>,
}

/// OCI's or docker's media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Family {
    Oci,
    Docker,
}

/// A compression that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Packed {
    None,
    Gzip,
    Zstd,
}

impl Operation for Commit {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let store = context.store()?;
        let mut intake = Intake::new(&store)?;
        let bundle = Path::new(&self.what);
        let (engine, container);
        let (mut of_container, mut frozen) = (None, None);
        let (image, changes, files) = if let Some(image) = bundle_image(&store, bundle)? {
            let (changes, files) = of_bundle(context, &store, intake.lease(), &image, bundle)?;
            (image, changes, files)
        } else {
            engine = context
                .engine_with(&self.what)?
                .with_context(|| format!("{:?} is no container, and no bundle that `ctn unpack` made", self.what))?;
            container = engine.find(&self.what)?;
            let id = container
                .record
                .image
                .as_ref()
                .context("a container without an image can't be committed: export it")?;
            let image = store.resolve(&id.to_string(), None)?;
            if self.pause {
                frozen = container.freeze()?;
            }
            let (changes, files) = changes_of(&container)?;
            of_container = Some(container.record.config.clone());
            (image, changes, files)
        };
        let config_type = match self.format {
            Family::Oci => media_type::OCI_CONFIG,
            Family::Docker => media_type::DOCKER_CONFIG,
        };
        let epoch = source_date_epoch()?;
        let (layer, diff_id) =
            packed(&intake, config_type, self.compression, |output| pack(&changes, &files, epoch, output).map(drop))?;
        drop(frozen);
        let config = self.config(&store.document(&image.manifest.config)?, of_container.as_ref(), &diff_id, epoch)?;
        let config = intake.bytes(config_type, &config)?;
        let layers = in_family(&image, config_type).chain([layer]).collect();
        let id = config.digest.clone();
        let manifest = serde_json::to_vec(&Manifest::new(config, layers))?;
        let entry = intake.bytes(&Manifest::new(Descriptor::of(config_type, b""), Vec::new()).media_type, &manifest)?;
        let names: Vec<Reference> = self.name.clone().map(Reference::or_latest).into_iter().collect();
        intake.image(&store, &entry, &names)?;
        intake.commit()?;
        print(&format!("{id}\n"))?;
        Ok(0)
    }
}

impl Commit {
    /// The image's configuration with one more layer; what it has beyond what is known here stays.
    fn config(&self, base: &[u8], container: Option<&Config>, diff_id: &Digest, epoch: Option<i64>) -> Result<Vec<u8>> {
        let mut config: Value = serde_json::from_slice(base).context("the image's configuration can't be read")?;
        // What the container was told to do is what containers of its image will do.
        if let Some(container) = container {
            let told = serde_json::to_value(container)?;
            for field in [
                "User",
                "ExposedPorts",
                "Env",
                "Entrypoint",
                "Cmd",
                "Volumes",
                "WorkingDir",
                "Labels",
                "StopSignal",
                "Healthcheck",
            ] {
                if let Some(value) = told.get(field).filter(|value| !value.is_null()) {
                    config["config"][field] = value.clone();
                }
            }
        }
        let created = created(epoch);
        config["created"] = created.clone().into();
        if !self.author.is_empty() {
            config["author"] = self.author.clone().into();
        }
        for instruction in &self.change {
            super::instruction::change(&mut config["config"], instruction)?;
        }
        let push = |list: &mut Value, item: Value| match list {
            Value::Array(list) => list.push(item),
            other => *other = json!([item]),
        };
        // Which layer a step made is told by its place alone: layers that came without one get one that says nothing.
        let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let told = list(&config["history"]).iter().filter(|step| step["empty_layer"] != true).count();
        for _ in told..list(&config["rootfs"]["diff_ids"]).len() {
            push(&mut config["history"], json!({}));
        }
        push(&mut config["rootfs"]["diff_ids"], json!(diff_id));
        // What it ran.
        let by = container.map(|container| container.cmd.join(" ")).filter(|command| !command.is_empty());
        let mut step = json!({"created": created, "created_by": by.as_deref().unwrap_or("ctn commit")});
        if !self.message.is_empty() {
            step["comment"] = self.message.clone().into();
        }
        if !self.author.is_empty() {
            step["author"] = self.author.clone().into();
        }
        push(&mut config["history"], step);
        Ok(serde_json::to_vec(&config)?)
    }
}

/// Layers are what they are, but a manifest of one family names none of the other.
fn in_family<'i>(image: &'i Image, config_type: &'i str) -> impl Iterator<Item = Descriptor> + 'i {
    image.manifest.layers.iter().map(move |layer| {
        let suffix = ["gzip", "zstd"].into_iter().find(|suffix| layer.media_type.ends_with(suffix)).unwrap_or_default();
        Descriptor { media_type: layer_type(config_type, suffix), ..layer.clone() }
    })
}

/// What reproducible builds set; no time may be later.
pub(super) fn source_date_epoch() -> Result<Option<i64>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse::<i64>().ok()).filter(|seconds| *seconds >= 0);
    seconds.map(Some).with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, which is no number of seconds"))
}

/// Now, or what SOURCE_DATE_EPOCH says.
pub(super) fn created(epoch: Option<i64>) -> String {
    use std::time::{Duration, SystemTime};
    let now = SystemTime::now();
    let time = epoch.map_or(now, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Writes a layer into the intake, hashed before and after its compression.
pub(super) fn packed(
    intake: &Intake<'_>,
    config_type: &str,
    compression: Packed,
    write: impl FnOnce(&mut dyn std::io::Write) -> Result<()>,
) -> Result<(Descriptor, Digest)> {
    let path = intake.lease().fresh("blob");
    let file = File::create_new(&path).attempt(|| format!("create {path:?}"))?;
    let blob = Hashed::new(std::io::BufWriter::with_capacity(128 << 10, file));
    let what = || "write the layer";
    let (blob, diff_id, suffix) = match compression {
        Packed::None => {
            let mut content = Hashed::new(blob);
            write(&mut content)?;
            let (blob, diff_id, _) = content.finish();
            (blob, diff_id, "")
        }
        Packed::Gzip => {
            let mut content = Hashed::new(gzip::Encoder::new(blob).attempt(what)?);
            write(&mut content)?;
            let (encoder, diff_id, _) = content.finish();
            (encoder.finish().attempt(what)?, diff_id, "gzip")
        }
        Packed::Zstd => {
            let mut encoder = zstd::Encoder::new(blob, 3).attempt(what)?;
            encoder.include_checksum(true).attempt(what)?;
            let mut content = Hashed::new(encoder);
            write(&mut content)?;
            let (encoder, diff_id, _) = content.finish();
            (encoder.finish().attempt(what)?, diff_id, "zstd")
        }
    };
    let (mut output, digest, size) = blob.finish();
    std::io::Write::flush(&mut output).attempt(what)?;
    ensure!(size > 0, "an empty layer");
    intake.lease().pin(crate::image::store::lease::What::Blob, &digest)?;
    intake.adopt(&digest, path);
    Ok((Descriptor::new(&layer_type(config_type, suffix), digest, size), diff_id))
}
