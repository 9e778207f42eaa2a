//! `plan`: what `create` would do.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use super::{Context, Operation, absolute, bundle, output};
use crate::container::{self, PlanOptions};

/// Show what creating a container would do, step by step, without doing any of it
#[derive(Debug, Parser)]
pub(super) struct Plan {
    /// The bundle: a directory with config.json and the root file system
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,

    /// Another file than the bundle's config.json
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How the plan is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each step
    Text,
    /// One object
    Json,
}

impl Operation for Plan {
    fn carry_out(self, context: &Context) -> Result<u8> {
        let options = PlanOptions {
            bundle: bundle(&self.bundle)?,
            config: self.config.as_deref().map(absolute).transpose()?,
            json: self.format == Format::Json,
        };
        output::print(&container::plan(&context.host, &options)?)?;
        Ok(0)
    }
}
