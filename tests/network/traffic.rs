//! Who reaches whom, and as whom.

use corten::network::Create;

use crate::harness::*;

#[test]
fn a_published_port_from_everywhere() {
    let host = Host::new();
    let web = host.container("web", "bridge", &["8080:80", "8053:53/udp"]);
    let other = host.container("other", "bridge", &[]);
    web.namespace.serve(([0, 0, 0, 0], 80));
    web.namespace.serve_datagrams(([0, 0, 0, 0], 53));
    // Outside: with its own address.
    assert_eq!(host.outside.reaches("192.0.2.1:8080"), "192.0.2.2");
    // The host itself, by its loopback and by its own address.
    let gateway = &host.gateway("bridge");
    assert_eq!(fetch("127.0.0.1:8080", std::time::Duration::from_secs(9)).unwrap(), *gateway);
    assert_eq!(fetch("192.0.2.1:8080", std::time::Duration::from_secs(9)).unwrap(), *gateway);
    // Containers, directly, by the host's address, and its own port.
    assert_eq!(other.namespace.reaches(&web.at(80)), other.address().to_string());
    assert_eq!(other.namespace.reaches("192.0.2.1:8080"), *gateway);
    assert_eq!(other.namespace.reaches(&format!("{gateway}:8080")), *gateway);
    assert_eq!(web.namespace.reaches("192.0.2.1:8080"), *gateway);
    // Datagrams.
    assert_eq!(host.outside.run(|| ask("192.0.2.1:8053")).unwrap(), "192.0.2.2");
    assert_eq!(ask("127.0.0.1:8053").unwrap(), *gateway);
}
