//! Descriptors, manifests and indexes, of OCI 1.1 and docker schema 2.
//!
//! Documents are content-addressed, so their bytes are kept and passed on as they are; these types are only read from them, and
//! written where a document is new. oci-spec isn't used: it drops the fields it doesn't know, and a new field must survive.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::digest::Digest;
use super::media_type;
use super::platform::Platform;

/// Bytes that a manifest, index or configuration may have, as registries limit them (distribution-spec names 4 MiB).
pub const LARGEST_DOCUMENT: u64 = 4 << 20;
/// Where OCI layouts have the tag, or the name in the layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where containerd and docker put the full name in a layout.
pub const IMAGE_NAME: &str = "io.containerd.image.name";

/// What points to a blob (descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub media_type: String,
    /// The blob's name.
    pub digest: Digest,
    /// Bytes; a negative number is refused while reading.
    pub size: u64,
    /// For an entry of an index: whom the image is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "crate::spec::nullable")]
    pub annotations: BTreeMap<String, String>,
    /// What else there is: `urls`, `data`, `artifactType`.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor of some bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor of a blob.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        let (annotations, rest) = (BTreeMap::new(), Map::new());
        Descriptor { media_type: media_type.into(), digest, size, platform: None, annotations, rest }
    }

    /// Says when some bytes are not what this points to.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let size = bytes.len() as u64;
        ensure!(size == self.size, "{}: {size} bytes, where {} are declared", self.digest, self.size);
        let mut hasher = super::digest::Hasher::new(self.digest.algorithm());
        hasher.update(bytes);
        let found = hasher.finish();
        ensure!(found == self.digest, "the content is {found}, where {} is declared", self.digest);
        Ok(())
    }
}

/// One image, or an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// May be missing in OCI's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The image's configuration.
    pub config: Descriptor,
    /// The parts of the root file system, the lowest first.
    #[serde(default, deserialize_with = "crate::spec::nullable")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "crate::spec::nullable")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// A manifest of an image, in the family that the media type of its configuration is of.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        let docker = config.media_type == media_type::DOCKER_CONFIG;
        let media_type = if docker { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST };
        let media_type = media_type.to_owned();
        Manifest { schema_version: 2, media_type, config, layers, subject: None, annotations: BTreeMap::new() }
    }

    /// Whether this is an image that can be unpacked, and no artifact: neither what says so, nor what buildkit says about an image,
    /// which has the configuration of one.
    pub fn is_image(&self) -> bool {
        let is_attestation = self.layers.iter().any(|layer| layer.media_type == media_type::IN_TOTO);
        media_type::is_config(&self.config.media_type) && !is_attestation
    }
}

/// A list of manifests, and the table of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// May be missing in OCI's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Manifests, or again indexes.
    #[serde(default, deserialize_with = "crate::spec::nullable")]
    pub manifests: Vec<Descriptor>,
    /// What else there is.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Index {
        let media_type = media_type::OCI_INDEX.to_owned();
        Index { schema_version: 2, media_type, manifests: Vec::new(), rest: Map::new() }
    }
}

/// What a descriptor of an image can point to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

impl Document {
    /// Reads a manifest or index. `declared` is the media type that the descriptor or the registry gave; it may be empty.
    ///
    /// A document that can be read as both is an attack (CVE-2021-41190), as is one that says to be something else than
    /// what was declared.
    pub fn parse(bytes: &[u8], declared: &str) -> Result<Document> {
        let size = bytes.len() as u64;
        ensure!(size <= LARGEST_DOCUMENT, "the manifest has {size} bytes, more than {LARGEST_DOCUMENT}");
        let fields: Map<String, Value> = serde_json::from_slice(bytes).context("no manifest")?;
        let version = fields.get("schemaVersion").and_then(Value::as_u64);
        if version == Some(1) {
            bail!("a manifest of docker's schema 1, which nothing writes since 2017, can't be read");
        }
        ensure!(version == Some(2), "no manifest: schemaVersion is not 2");
        let own = fields.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        let contradicts = !declared.is_empty() && !own.is_empty() && declared != own;
        ensure!(!contradicts, "the manifest says to be {own:?}, but {declared:?} was declared");
        let has = |name| fields.contains_key(name);
        let (index, manifest) = (has("manifests"), has("layers") || has("config"));
        ensure!(
            !(index && manifest),
            "the manifest is ambiguous: it has both \"manifests\" and \"layers\" or \"config\""
        );
        match if own.is_empty() { declared } else { own } {
            kind if media_type::is_index(kind) => ensure!(!manifest, "an index with \"layers\" or \"config\""),
            kind if media_type::is_manifest(kind) => ensure!(!index, "a manifest with \"manifests\""),
            "" => {}
            kind => bail!("{kind:?} is no manifest that can be read"),
        }
        if index {
            return Ok(Document::Index(serde_json::from_slice(bytes).context("the index can't be read")?));
        }
        Ok(Document::Manifest(serde_json::from_slice(bytes).context("the manifest can't be read")?))
    }
}

/// The best for a platform among the manifests of an index, those that the caller can't have left out. What is for nobody
/// (attestations are for `unknown/unknown`) is never chosen.
pub fn choose<'i>(manifests: impl IntoIterator<Item = &'i Descriptor>, wanted: &Platform) -> Option<&'i Descriptor> {
    let distance = |manifest: &Descriptor| match &manifest.platform {
        Some(platform) => wanted.distance(platform),
        // A layout's table need not say; the image's configuration will.
        None => Some(usize::MAX),
    };
    // min_by_key takes the first of equals.
    let possible = manifests.into_iter().filter_map(|manifest| Some((distance(manifest)?, manifest)));
    possible.min_by_key(|(distance, _)| *distance).map(|(_, manifest)| manifest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(document: &Value, declared: &str) -> Result<Document> {
        Document::parse(document.to_string().as_bytes(), declared)
    }

    fn descriptor(kind: &str) -> Value {
        json!({"mediaType": kind, "digest": Digest::of(b"x").to_string(), "size": 1})
    }

    #[test]
    fn both_families_are_read() {
        let manifest = json!({"schemaVersion": 2, "config": descriptor(media_type::OCI_CONFIG),
            "layers": [descriptor(media_type::OCI_LAYER)], "annotations": null});
        let Document::Manifest(read) = parse(&manifest, media_type::OCI_MANIFEST).unwrap() else { panic!("an index") };
        assert!(read.is_image());
        assert_eq!(read.layers.len(), 1);
        let statement = json!({"schemaVersion": 2, "config": descriptor(media_type::OCI_CONFIG),
            "layers": [descriptor(media_type::IN_TOTO)]});
        assert!(matches!(parse(&statement, "").unwrap(), Document::Manifest(read) if !read.is_image()));
        let list = json!({"schemaVersion": 2, "mediaType": media_type::DOCKER_LIST,
            "manifests": [descriptor(media_type::DOCKER_MANIFEST)]});
        assert!(matches!(parse(&list, "").unwrap(), Document::Index(_)));
    }

    #[test]
    fn a_document_with_two_readings_is_refused() {
        let both = json!({"schemaVersion": 2, "manifests": [], "layers": []});
        assert!(parse(&both, "").unwrap_err().to_string().contains("ambiguous"));
        let lie = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
        assert!(parse(&lie, media_type::OCI_MANIFEST).unwrap_err().to_string().contains("was declared"));
        let disguised = json!({"schemaVersion": 2, "manifests": []});
        assert!(parse(&disguised, media_type::OCI_MANIFEST).is_err());
        assert!(parse(&json!({"schemaVersion": 1, "fsLayers": []}), "").unwrap_err().to_string().contains("schema 1"));
    }

    #[test]
    fn what_can_hurt_is_refused() {
        let negative = json!({"mediaType": "x", "digest": Digest::of(b"x").to_string(), "size": -1});
        assert!(parse(&json!({"schemaVersion": 2, "config": negative, "layers": []}), "").is_err());
        let path = json!({"mediaType": "x", "digest": "sha256:../../etc/passwd", "size": 1});
        assert!(parse(&json!({"schemaVersion": 2, "config": path, "layers": []}), "").is_err());
        assert!(Document::parse(&vec![b' '; 5 << 20], "").unwrap_err().to_string().contains("bytes"));
        assert!(Document::parse(b"<html>", "").is_err());
    }

    #[test]
    fn unknown_fields_of_a_descriptor_survive() {
        let text =
            json!({"mediaType": "x", "digest": Digest::of(b"x").to_string(), "size": 1, "data": "eA==", "new": [1]});
        let read: Descriptor = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), text);
    }

    #[test]
    fn the_closest_manifest_is_chosen_and_attestations_never() {
        let of =
            |text: &str| Descriptor { platform: Some(text.parse().unwrap()), ..Descriptor::of("x", text.as_bytes()) };
        let all = ["unknown/unknown", "linux/386", "linux/arm64", "linux/amd64"].map(of);
        let best = |wanted: &str| choose(&all, &wanted.parse().unwrap()).map(|found| found.digest.clone());
        assert_eq!(best("linux/amd64/v3"), Some(all[3].digest.clone()));
        assert_eq!(best("linux/386"), Some(all[1].digest.clone()));
        assert_eq!(best("linux/s390x"), None);
        assert_eq!(choose(&all[..2], &"linux/amd64".parse().unwrap()), Some(&all[1]));
    }

    #[test]
    fn a_descriptor_knows_its_blob() {
        let own = Descriptor::of("x", b"hello");
        own.verify(b"hello").unwrap();
        assert!(own.verify(b"hellO").unwrap_err().to_string().contains("the content is sha256:"));
        assert!(own.verify(b"hell").unwrap_err().to_string().contains("4 bytes, where 5 are declared"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Document::parse(&bytes, "");
        }
    }
}
