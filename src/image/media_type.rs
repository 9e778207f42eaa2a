//! Media types of OCI 1.1 and docker schema 2, and what kind of document or layer each one names.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An uncompressed OCI layer; `+gzip` and `+zstd` are put behind it.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A docker manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A docker layer, uncompressed; `.gzip` is put behind it.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A statement about an image (an attestation of buildkit).
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
const OCI_NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// Whether this names a manifest of one image.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// Whether this names a list of manifests.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether this names an image's configuration.
pub fn is_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// Whether this names a part of a root file system. Its compression is told from its first bytes, not from here.
pub fn is_layer(media_type: &str) -> bool {
    [OCI_LAYER, DOCKER_LAYER, OCI_NONDISTRIBUTABLE, DOCKER_FOREIGN].iter().any(|base| {
        media_type.strip_prefix(base).is_some_and(|suffix| matches!(suffix, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_both_families() {
        for layer in [
            OCI_LAYER,
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ] {
            assert!(is_layer(layer), "{layer}");
        }
        for other in [OCI_CONFIG, "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.layer.v1.tarx"] {
            assert!(!is_layer(other), "{other}");
        }
    }
}
