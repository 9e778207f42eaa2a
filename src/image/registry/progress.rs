//! What happens to the layers of an image on its way, for whoever shows it.

use std::io::{self, Read};

use crate::image::digest::Digest;
use crate::image::manifest::Descriptor;

/// Something that happened to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'e> {
    /// It is to be transferred, and has so many bytes.
    Waiting(u64),
    /// It is where it should be already.
    Exists,
    /// It is being compressed.
    Compressing,
    /// So many more bytes were transferred.
    Transferred(u64),
    /// The transfer starts anew at this byte.
    At(u64),
    /// All of it was read, and is being unpacked.
    Downloaded,
    /// It is in the store.
    Pulled,
    /// It is in the registry.
    Pushed,
    /// The registry had it in this other repository.
    Mounted(&'e str),
}

/// Whoever shows it.
pub trait Progress: Sync {
    /// Something happened to a layer. Layers come up for the first time in their order.
    fn layer(&self, digest: &Digest, event: Event<'_>);
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn layer(&self, _: &Digest, _: Event<'_>) {}
}

/// A stream from a registry whose bytes are counted. Nobody reads nothing from it.
pub(super) struct Counted<'p, R> {
    pub(super) stream: R,
    pub(super) layer: Descriptor,
    pub(super) progress: &'p dyn Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let event = if count > 0 { Event::Transferred(count as u64) } else { Event::Downloaded };
        self.progress.layer(&self.layer.digest, event);
        Ok(count)
    }
}
