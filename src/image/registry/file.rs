//! A file of any web server, as a stream.

use std::io::Read;

use anyhow::{Result, bail};
use ureq::http::Method;

use super::client::Client;
use super::transport::Request;
use super::url::Url;

/// Whether it is the address of one.
pub fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Starts to read it.
pub fn open(client: &Client, address: &str) -> Result<impl Read + Send + 'static> {
    let request = Request::new(Method::GET, Url::parse(address)?);
    let response = client.transport.call(&request, None, false)?;
    if response.status != 200 {
        bail!("GET {}: {}", response.url.shown(), response.status);
    }
    Ok(response.stream())
}
