//! Platforms: what a machine is, and which image of an index is the best for it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Operating system and processor (image-spec, image-index.md), in GOOS's and GOARCH's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor's architecture.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The architecture's variant, `v7` of `arm`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// What else the document has, `os.version` and others.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Platform {
    /// The machine that this runs on.
    pub fn host() -> Platform {
        Platform::new("linux", std::env::consts::ARCH, "")
    }

    /// A platform in normal form: `x86_64` is `amd64`, `armhf` is `arm/v7`, the variant that everybody has is none.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Platform {
        let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", ""),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            same => same,
        };
        let os = if os.eq_ignore_ascii_case("macos") { "darwin".to_owned() } else { os.to_lowercase() };
        Platform { architecture: architecture.into(), os, variant: variant.into(), rest: Map::new() }
    }

    fn normal(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, &self.variant)
    }

    /// How well an image for another platform runs here: 0 is this very one, none is not at all.
    pub fn distance(&self, image: &Platform) -> Option<usize> {
        let image = image.normal();
        self.normal().runnable().iter().position(|own| *own == image)
    }

    /// What runs on this platform, the best first.
    fn runnable(&self) -> Vec<Platform> {
        let with = |architecture: &str, variants: &[&str]| {
            let platform = |variant: &&str| Platform::new(&self.os, architecture, variant);
            variants.iter().map(platform).collect::<Vec<_>>()
        };
        let down = |variants: &'static [&'static str]| match variants.iter().position(|own| *own == self.variant) {
            Some(own) => &variants[own..],
            None => &[],
        };
        let mut all = match self.architecture.as_str() {
            "amd64" => [with("amd64", down(&["v4", "v3", "v2", ""])), with("386", &[""])].concat(),
            "arm64" => [with("arm64", &[""]), with("arm", &["v8", "v7", "v6", "v5"])].concat(),
            "arm" => with("arm", down(&["v8", "v7", "v6", "v5"])),
            _ => Vec::new(),
        };
        if all.first() != Some(self) {
            all.insert(0, self.clone());
        }
        all
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An index may have anything there, and what is shown must not change a terminal.
        write!(f, "{}/{}", self.os.escape_debug(), self.architecture.escape_debug())?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant.escape_debug()) }
    }
}

/// GOARCH's words for what Linux runs on; what stands alone must be one of them.
const ARCHITECTURES: [&str; 14] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
];

/// `OS/ARCHITECTURE[/VARIANT]`, or the architecture alone.
impl FromStr for Platform {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Platform> {
        let word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(word) {
            bail!("invalid platform {text:?}: OS/ARCHITECTURE[/VARIANT] is wanted");
        }
        match parts[..] {
            ["linux"] => Ok(Platform::host()),
            [architecture] => {
                let platform = Platform::new("linux", architecture, "");
                let is_known = ARCHITECTURES.contains(&platform.architecture.as_str());
                ensure!(is_known, "invalid platform {text:?}: unknown operating system or architecture");
                Ok(platform)
            }
            [os, architecture] => Ok(Platform::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Platform::new(os, architecture, variant)),
            _ => bail!("invalid platform {text:?}: OS/ARCHITECTURE[/VARIANT] is wanted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        text.parse::<Platform>().unwrap().to_string()
    }

    #[test]
    fn the_many_names_of_one_platform() {
        for (name, wanted) in [
            ("x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("Linux/i686", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(normal(name), wanted, "{name}");
        }
        for wrong in ["", "/", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_changes_no_terminal() {
        assert_eq!(Platform::new("linux\x1b[2J", "amd64", "").to_string(), "linux\\u{1b}[2j/amd64");
    }

    #[test]
    fn the_closest_that_runs() {
        let distance =
            |own: &str, image: &str| own.parse::<Platform>().unwrap().distance(&image.parse::<Platform>().unwrap());
        assert_eq!(distance("linux/amd64", "linux/amd64"), Some(0));
        assert!(distance("linux/amd64/v3", "linux/amd64/v2") < distance("linux/amd64/v3", "linux/amd64"));
        assert!(distance("linux/amd64/v3", "linux/amd64") < distance("linux/amd64", "linux/386").map(|n| n + 9));
        assert_eq!(distance("linux/amd64", "linux/amd64/v2"), None);
        assert_eq!(distance("linux/amd64", "linux/arm64"), None);
        assert_eq!(distance("linux/amd64", "windows/amd64"), None);
        assert!(distance("linux/arm64", "linux/arm/v7") < distance("linux/arm64", "linux/arm/v6"));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(distance("linux/s390x", "linux/s390x"), Some(0));
        assert_eq!(distance("linux/amd64", "unknown/unknown"), None);
    }
}
