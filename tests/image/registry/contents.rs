//! What a registry has, and what the distribution specification wants it to say.

use std::collections::BTreeMap;

use corten::image::digest::Digest;
use serde_json::{Value, json};

use crate::harness::*;
use crate::server::{Answer, Request};

/// Repositories by name, and uploads on their way.
#[derive(Debug, Default)]
pub struct Contents {
    pub repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Vec<u8>>,
    started: usize,
    /// Tags of one page, if the client doesn't say.
    pub page: Option<usize>,
    /// Bytes that a piece of a blob must have, if it isn't the last.
    pub least: Option<usize>,
    /// Whether it has the API of referrers, which came with version 1.1.
    pub has_referrers: bool,
}

/// A repository.
#[derive(Debug, Default)]
pub struct Repository {
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// With their media types, by digest.
    pub manifests: BTreeMap<Digest, (String, Vec<u8>)>,
    pub tags: BTreeMap<String, Digest>,
}

impl Contents {
    pub fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    /// Puts an image there.
    pub fn add(&mut self, repository: &str, tag: &str, image: &Made) {
        let repository = self.repository(repository);
        for blob in image.layers.iter().chain([&image.config_blob()]) {
            repository.blobs.insert(blob.digest(), blob.bytes.clone());
        }
        repository.tag(tag, OCI_MANIFEST, image.manifest_blob().bytes);
    }

    /// What is right to say.
    pub fn answer(&mut self, request: &Request) -> Answer {
        let Some(path) = request.path.strip_prefix("/v2/") else { return Answer::error(404, "UNSUPPORTED", "no API") };
        if path.is_empty() {
            return Answer::new(200, "{}");
        }
        for kind in ["/blobs/uploads/", "/blobs/", "/manifests/", "/tags/", "/referrers/"] {
            if let Some((name, rest)) = path.split_once(kind) {
                return match kind {
                    "/blobs/uploads/" => self.upload(request, name, rest),
                    "/blobs/" => self.blob(request, name, rest),
                    "/manifests/" => self.manifest(request, name, rest),
                    "/tags/" => self.tags(request, name),
                    _ => self.referrers(name, rest),
                };
            }
        }
        Answer::error(404, "UNSUPPORTED", "no such thing")
    }

    fn blob(&mut self, request: &Request, name: &str, digest: &str) -> Answer {
        let digest = digest.parse::<Digest>().ok();
        let found = digest.as_ref().and_then(|digest| self.repositories.get(name)?.blobs.get(digest));
        let (Some(blob), Some(digest)) = (found, digest) else {
            return Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let type_of_all = "application/octet-stream";
        let head = |answer: Answer| answer.with("Content-Type", type_of_all).with("Docker-Content-Digest", &digest);
        match request.from() {
            Some(from) if from >= blob.len() => Answer::new(416, ""),
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                head(Answer::new(206, &blob[from..])).with("Content-Range", range)
            }
            None => head(Answer::new(200, &blob[..])),
        }
    }

    fn manifest(&mut self, request: &Request, name: &str, reference: &str) -> Answer {
        if request.method == "PUT" {
            return self.put_manifest(request, name, reference);
        }
        let unknown = || Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        let Some(repository) = self.repositories.get(name) else { return unknown() };
        let digest = reference.parse::<Digest>().ok().or_else(|| repository.tags.get(reference).cloned());
        let Some(digest) = digest else { return unknown() };
        let Some((media_type, bytes)) = repository.manifests.get(&digest) else { return unknown() };
        Answer::new(200, &bytes[..]).with("Content-Type", media_type).with("Docker-Content-Digest", digest)
    }

    fn put_manifest(&mut self, request: &Request, name: &str, reference: &str) -> Answer {
        let repository = self.repository(name);
        let document: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let digest = Digest::of(&request.body);
        let below = ["config", "layers", "manifests"].iter().flat_map(|key| match &document[key] {
            Value::Array(list) => list.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        });
        for descriptor in below {
            let wanted = descriptor["digest"].as_str().and_then(|digest| digest.parse().ok());
            let known =
                |digest: &Digest| repository.blobs.contains_key(digest) || repository.manifests.contains_key(digest);
            if !wanted.as_ref().is_some_and(known) {
                return Answer::error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
            }
        }
        let media_type = request.header("content-type").unwrap_or_default();
        repository.manifests.insert(digest.clone(), (media_type.to_owned(), request.body.to_vec()));
        match reference.parse::<Digest>() {
            Ok(named) if named != digest => return Answer::error(400, "DIGEST_INVALID", "not that digest"),
            Ok(_) => {}
            Err(_) => drop(repository.tags.insert(reference.to_owned(), digest.clone())),
        }
        let made = Answer::new(201, "").with("Docker-Content-Digest", &digest);
        let made = made.with("Location", format!("/v2/{name}/manifests/{digest}"));
        match document["subject"]["digest"].as_str() {
            Some(subject) if self.has_referrers => made.with("OCI-Subject", subject),
            _ => made,
        }
    }

    fn tags(&mut self, request: &Request, name: &str) -> Answer {
        let Some(repository) = self.repositories.get(name) else {
            return Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let last = request.asks("last").unwrap_or_default().to_owned();
        let rest: Vec<&String> = repository.tags.keys().filter(|tag| **tag > last).collect();
        let asked = request.asks("n").and_then(|count| count.parse::<usize>().ok());
        let count = self.page.or(asked).unwrap_or(rest.len());
        let page = &rest[..count.min(rest.len())];
        let answer = Answer::new(200, json!({"name": name, "tags": page}).to_string());
        let answer = answer.with("Content-Type", "application/json");
        match page.last() {
            Some(last) if page.len() < rest.len() => {
                answer.with("Link", format!("</v2/{name}/tags/list?n={count}&last={last}>; rel=\"next\""))
            }
            _ => answer,
        }
    }

    fn referrers(&mut self, name: &str, subject: &str) -> Answer {
        if !self.has_referrers {
            return Answer::error(404, "UNSUPPORTED", "no such thing");
        }
        let mut manifests = Vec::new();
        for (digest, (media_type, bytes)) in self.repositories.get(name).iter().flat_map(|known| &known.manifests) {
            let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
            if document["subject"]["digest"] == subject {
                manifests.push(json!({"mediaType": media_type, "digest": digest, "size": bytes.len(),
                    "artifactType": document["artifactType"]}));
            }
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        Answer::new(200, index.to_string()).with("Content-Type", OCI_INDEX)
    }

    /// Sessions: POST, PATCH and PUT, with what has come so far kept between them.
    fn upload(&mut self, request: &Request, name: &str, id: &str) -> Answer {
        let place = |id: &str| format!("/v2/{name}/blobs/uploads/{id}?state=x");
        if request.method == "POST" {
            let mounted = request.asks("mount").and_then(|digest| digest.parse::<Digest>().ok());
            let from = request.asks("from").and_then(|from| self.repositories.get(from));
            if let Some((digest, blob)) = mounted.and_then(|digest| Some((digest.clone(), from?.blobs.get(&digest)?))) {
                let blob = blob.clone();
                self.repository(name).blobs.insert(digest.clone(), blob);
                return Answer::new(201, "").with("Location", format!("/v2/{name}/blobs/{digest}"));
            }
            self.started += 1;
            let id = format!("session-{}", self.started);
            self.uploads.insert(id.clone(), Vec::new());
            let begun = Answer::new(202, "").with("Location", place(&id)).with("Range", "0-0");
            return match self.least {
                Some(least) => begun.with("OCI-Chunk-Min-Length", least),
                None => begun,
            };
        }
        let Some(upload) = self.uploads.get_mut(id) else {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        };
        let before = upload.len();
        let start = request.header("content-range").map(|range| range.split('-').next().unwrap_or("").to_owned());
        if matches!(request.method.as_str(), "PATCH" | "PUT") && start.is_some_and(|start| start != before.to_string())
        {
            return Answer::new(416, "").with("Location", place(id)).with("Range", range(before));
        }
        upload.extend_from_slice(&request.body);
        match request.method.as_str() {
            "PATCH" => Answer::new(202, "").with("Location", place(id)).with("Range", range(upload.len())),
            "GET" => Answer::new(204, "").with("Location", place(id)).with("Range", range(upload.len())),
            "DELETE" => {
                self.uploads.remove(id);
                Answer::new(204, "")
            }
            _ => self.finish(request, name, id),
        }
    }

    fn finish(&mut self, request: &Request, name: &str, id: &str) -> Answer {
        if !request.whole {
            return Answer::new(400, "");
        }
        let blob = self.uploads.remove(id).unwrap_or_default();
        let digest = Digest::of(&blob);
        if request.asks("digest") != Some(&digest.to_string()) {
            return Answer::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        self.repository(name).blobs.insert(digest.clone(), blob);
        Answer::new(201, "").with("Location", format!("/v2/{name}/blobs/{digest}"))
    }

    /// Begins so many sessions that another registry sends its clients to.
    pub fn promise(&mut self, count: usize) {
        self.uploads.extend((1..=count).map(|number| (format!("session-{number}"), Vec::new())));
    }

    /// Uploads that nobody finished or gave up.
    pub fn unfinished(&self) -> usize {
        self.uploads.len()
    }
}

fn range(length: usize) -> String {
    format!("0-{}", length.saturating_sub(1))
}

impl Repository {
    pub fn tag(&mut self, tag: &str, media_type: &str, manifest: Vec<u8>) {
        let digest = Digest::of(&manifest);
        self.manifests.insert(digest.clone(), (media_type.to_owned(), manifest));
        self.tags.insert(tag.to_owned(), digest);
    }
}
