//! Who one is: docker's and containers' own files, helpers, login and logout.

use std::os::unix::fs::MetadataExt;
use std::process::Output;

use serde_json::{Value, json};

use super::tokens::{authorization, challenge, token};
use super::*;
use crate::server::pairs;

/// `user:secret`, as it is in files and headers.
const ENCODED: &str = "dXNlcjpzZWNyZXQ=";

/// A registry that lets one user in, by password.
fn basic(image: &Made) -> Registry {
    with_image(image, |request, answer| {
        let known = authorization(request) == format!("Basic {ENCODED}");
        let who = Answer::error(401, "UNAUTHORIZED", "authentication required")
            .with("WWW-Authenticate", "Basic realm=\"tests\"");
        Some(if known { answer } else { who })
    })
}

/// A call with docker's directory in the test's.
fn call(place: &Place, arguments: &[&str]) -> Output {
    let mut command = place.command(arguments);
    command.env("DOCKER_CONFIG", place.join("docker")).env("HOME", place.join("home"));
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", place.join("bin").display());
    command.env("PATH", path).env("XDG_RUNTIME_DIR", place.join("run")).output().unwrap()
}

fn docker_config(place: &Place, config: &Value) {
    place.write("docker/config.json", config.to_string());
}

#[track_caller]
fn pulled(place: &Place, registry: &Registry) {
    succeeded(&call(place, &["pull", &registry.name("app:1")]), "pull");
}

#[track_caller]
fn not_pulled(place: &Place, registry: &Registry) -> String {
    let output = call(place, &["pull", &registry.name("app:1")]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("secret") && !said.contains(ENCODED), "{said}");
    said
}

#[test]
fn dockers_file_is_read() {
    let registry = basic(&Made::small("app:1"));
    let place = Place::new();
    let said = not_pulled(&place, &registry);
    assert!(said.contains("authentication required") || said.contains("unauthorized"), "{said}");
    for key in [registry.address.to_string(), format!("http://{}/v2/", registry.address)] {
        let place = Place::new();
        docker_config(&place, &json!({"auths": {key: {"auth": ENCODED}, "example.org": {"auth": "b3RoZXI6eA=="}}}));
        pulled(&place, &registry);
    }
    let before = registry.requests().len();
    docker_config(&place, &json!({"auths": {registry.address.to_string(): {"auth": "b3RoZXI6eA=="}}}));
    not_pulled(&place, &registry);
    docker_config(&place, &json!({"auths": {"example.org": {"auth": ENCODED}}}));
    not_pulled(&place, &registry);
    assert!(!registry.requests().iter().skip(before).any(|request| authorization(request).contains(ENCODED)));
}

#[test]
fn the_closest_of_several_keys_is_taken() {
    let registry = basic(&Made::small("app:1"));
    let place = Place::new();
    let address = registry.address;
    let auths = json!({"auths": {
        address.to_string(): {"auth": "b3RoZXI6eA=="},
        format!("{address}/app"): {"auth": ENCODED},
        format!("{address}/ap"): {"auth": "b3RoZXI6eA=="},
    }});
    let path = place.write("auth.json", auths.to_string());
    let mut command = place.command(&["pull", &registry.name("app:1")]);
    succeeded(&command.env("REGISTRY_AUTH_FILE", path).output().unwrap(), "pull");
}

fn helper(place: &Place, name: &str, script: &str) {
    fs::create_dir_all(place.join("bin")).unwrap();
    call::install_script(&place.join(&format!("bin/docker-credential-{name}")), script);
}

#[test]
fn helpers_are_asked() {
    let registry = basic(&Made::small("app:1"));
    let host = registry.address.to_string();
    let answers = format!(
        "read host; echo \"$1 $host\" >>{0}/asked; [ \"$host\" = {host} ] || {{ echo 'credentials not found in native keychain'; exit 1; }}
         echo '{{\"ServerURL\":\"{host}\",\"Username\":\"user\",\"Secret\":\"secret\"}}'",
        "$(dirname \"$0\")"
    );
    let place = Place::new();
    helper(&place, "one", &answers);
    helper(&place, "none", "echo 'credentials not found in native keychain'; exit 1");
    docker_config(&place, &json!({"credsStore": "one"}));
    pulled(&place, &registry);
    assert_eq!(fs::read_to_string(place.join("bin/asked")).unwrap(), format!("get {host}\n"));
    // The one for the host goes before the one for all.
    docker_config(&place, &json!({"credsStore": "none", "credHelpers": {&host: "one"}}));
    pulled(&place, &registry);
    docker_config(&place, &json!({"credsStore": "one", "credHelpers": {&host: "none"}}));
    not_pulled(&place, &registry);
    // One that fails or isn't there is said, and a name is no path.
    helper(&place, "broken", "echo 'the keychain is on fire'; exit 1");
    docker_config(&place, &json!({"credsStore": "broken"}));
    assert!(not_pulled(&place, &registry).contains("the keychain is on fire"));
    docker_config(&place, &json!({"credsStore": "missing"}));
    assert!(not_pulled(&place, &registry).contains("docker-credential-missing"));
    helper(&place, "babble", "echo '<html>'");
    docker_config(&place, &json!({"credsStore": "babble"}));
    assert!(not_pulled(&place, &registry).contains("docker-credential-babble"));
}

#[test]
fn an_identity_token_is_changed_for_an_access_token() {
    let image = Made::small("app:1");
    let registry = with_image(&image, |request, answer| {
        let form: String = String::from_utf8_lossy(&request.body).into_owned();
        Some(match (request.method.as_str(), request.path.as_str(), authorization(request)) {
            ("POST", "/token", "") if form.contains("refresh_token=identity") => {
                Answer::new(200, "{\"access_token\":\"good\"}")
            }
            (_, "/token", _) => Answer::error(401, "UNAUTHORIZED", "who are you"),
            (_, _, "Bearer good") => answer,
            _ => challenge(request, ""),
        })
    });
    let host = registry.address.to_string();
    let place = Place::new();
    docker_config(&place, &json!({"auths": {&host: {"auth": "", "identitytoken": "identity"}}}));
    pulled(&place, &registry);
    let form = registry.requests().into_iter().find(|request| request.method == "POST").unwrap();
    let form = pairs(&String::from_utf8_lossy(&form.body));
    for (name, value) in [("grant_type", "refresh_token"), ("service", "tests"), ("scope", "repository:app:pull")] {
        assert!(form.contains(&(name.to_owned(), value.to_owned())), "{name}={value} is not in {form:?}");
    }
    // The same from a helper.
    let place = Place::new();
    helper(&place, "one", "echo '{\"Username\":\"<token>\",\"Secret\":\"identity\"}'");
    docker_config(&place, &json!({"credsStore": "one"}));
    pulled(&place, &registry);
}

#[test]
fn a_password_is_shown_to_the_token_server_alone() {
    let image = Made::small("app:1");
    let registry = with_image(&image, |request, answer| {
        Some(match (request.path.as_str(), authorization(request)) {
            ("/token", "Basic dXNlcjpzZWNyZXQ=") => token("good"),
            ("/token", _) => {
                let form = String::from_utf8_lossy(&request.body).into_owned();
                let known = form.contains("password=secret") && form.contains("username=user");
                if known { token("good") } else { Answer::error(401, "UNAUTHORIZED", "who are you") }
            }
            (_, "Bearer good") => answer,
            _ => challenge(request, ""),
        })
    });
    let place = Place::new();
    docker_config(&place, &json!({"auths": {registry.address.to_string(): {"auth": ENCODED}}}));
    pulled(&place, &registry);
    for request in registry.requests().iter().filter(|request| request.path != "/token") {
        assert!(!authorization(request).starts_with("Basic"), "{request}");
    }
}

#[test]
fn who_logs_in_is_known_until_they_log_out() {
    let registry = basic(&Made::small("app:1"));
    let host = registry.address.to_string();
    let place = Place::new();
    let login = |password: &str| {
        let mut command = place.command(&["login", "--username", "user", "--password-stdin", &host]);
        command.env("DOCKER_CONFIG", place.join("docker")).env("HOME", place.join("home"));
        command.env("XDG_RUNTIME_DIR", place.join("run")).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{password}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let wrong = login("wrong");
    assert!(!wrong.status.success(), "{wrong:?}");
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("wrong"), "{wrong:?}");
    not_pulled(&place, &registry);
    assert!(succeeded(&login("secret"), "login").contains("Login Succeeded"));
    pulled(&place, &registry);
    let files: Vec<_> = ["docker/config.json", "run/containers/auth.json", "home/.docker/config.json"]
        .into_iter()
        .map(|name| place.join(name))
        .filter(|path| path.exists())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(fs::metadata(&files[0]).unwrap().mode() & 0o777, 0o600);
    succeeded(&call(&place, &["logout", &host]), "logout");
    assert!(!fs::read_to_string(&files[0]).unwrap().contains(ENCODED));
    let again = Place::new();
    fs::create_dir(again.join("docker")).unwrap();
    fs::copy(&files[0], again.join("docker/config.json")).unwrap();
    not_pulled(&again, &registry);
}

/// What else is in the file is not ours.
#[test]
fn login_leaves_the_rest_of_the_file() {
    let registry = basic(&Made::small("app:1"));
    let host = registry.address.to_string();
    let place = Place::new();
    docker_config(
        &place,
        &json!({"auths": {"example.org": {"auth": "b3RoZXI6eA=="}}, "psFormat": "table", "HttpHeaders": {"A": "b"}}),
    );
    succeeded(&call(&place, &["login", "-u", "user", "-p", "secret", &host]), "login");
    let config: Value = serde_json::from_slice(&fs::read(place.join("docker/config.json")).unwrap()).unwrap();
    assert_eq!((&config["psFormat"], &config["HttpHeaders"]["A"]), (&json!("table"), &json!("b")));
    assert_eq!(config["auths"]["example.org"]["auth"], "b3RoZXI6eA==");
    pulled(&place, &registry);
}

/// A server beside the registry, which says where it is; both want to know who is asking.
fn with_other(image: &Made, leads: fn(&Request, Answer, SocketAddr) -> Answer) -> (Registry, Registry) {
    let other = with_image(image, |_, answer| Some(answer));
    let address = other.address;
    let registry = with_image(image, move |request, answer| {
        let known = authorization(request) == format!("Basic {ENCODED}");
        let who = Answer::error(401, "UNAUTHORIZED", "authentication required")
            .with("WWW-Authenticate", "Basic realm=\"tests\"");
        Some(if known { leads(request, answer, address) } else { who })
    });
    (registry, other)
}

#[track_caller]
fn assert_not_told(other: &Registry) {
    assert!(!other.requests().is_empty());
    for request in other.requests() {
        assert_eq!(authorization(&request), "", "{request}");
    }
}

#[test]
fn an_upload_to_another_host_is_by_nobody() {
    let image = Made::small("app:1");
    let (registry, other) = with_other(&Made::new("x", &[]), |request, answer, address| {
        let begins = request.method == "POST";
        // What was sent elsewhere is there.
        let there = request.method == "PUT" && answer.status == 400;
        match answer.headers.iter().find(|(name, _)| name == "Location") {
            _ if there => Answer::new(201, ""),
            Some((_, location)) if begins => {
                let location = format!("http://{address}{location}");
                answer.with("Location", location)
            }
            _ => answer,
        }
    });
    // Sessions of the two have the same names.
    other.contents().promise(9);
    let place = Place::new();
    place.ctn(&["load", "-i", &image.archive(&place, "in")]);
    place.ctn(&["tag", "app:1", &registry.name("app:2")]);
    place.ctn(&["push", "--creds", "user:secret", &registry.name("app:2")]);
    assert_not_told(&other);
    let contents = other.contents();
    assert!(image.layers.iter().all(|layer| contents.repositories["app"].blobs.contains_key(&layer.digest())));
}

#[test]
fn a_list_that_goes_on_at_another_host_tells_it_nothing() {
    let (registry, other) = with_other(&Made::small("app:1"), |request, answer, address| {
        let first = request.path.ends_with("/tags/list");
        if first {
            answer.with("Link", format!("<http://{address}/v2/app/tags/list?last=0>; rel=\"next\""))
        } else {
            answer
        }
    });
    let place = Place::new();
    let output = place.call(&["image", "tags", "--creds", "user:secret", &registry.name("app")]);
    // Refused or followed, but never as somebody.
    assert!(output.status.success() || other.requests().is_empty(), "{output:?}");
    assert!(other.requests().iter().all(|request| authorization(request).is_empty()));
}

#[test]
fn a_redirect_within_the_registry_is_by_the_same_user() {
    let image = Made::small("app:1");
    let (registry, _) = with_other(&image, |request, answer, _| {
        let moved = request.path.contains("/blobs/") && request.asks("moved").is_none();
        if moved { Answer::new(307, "").with("Location", format!("{}?moved=1", request.path)) } else { answer }
    });
    let place = Place::new();
    place.ctn(&["pull", "--creds", "user:secret", &registry.name("app:1")]);
    assert_pulled(&place, &registry.name("app:1"), &image);
}
