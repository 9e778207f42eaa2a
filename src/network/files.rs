//! `/etc/hosts` and `/etc/resolv.conf` of a container: pure functions.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Where names are answered in networks that users made; docker's address, which programs know.
pub const OWN_RESOLVER: &str = "127.0.0.11";
/// Where names are asked for if the host has nobody that a container reaches; docker's choice.
const PUBLIC_RESOLVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// What `/etc/hosts` is made of.
#[derive(Debug, Clone, Default)]
pub struct Hosts<'a> {
    /// The container's host name.
    pub hostname: &'a str,
    /// Its domain, if it has one.
    pub domain: &'a str,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// Names that were added (`--add-host`).
    pub extra: &'a [(String, IpAddr)],
    /// Whether there is IPv6 in it.
    pub ipv6: bool,
}

/// The content of `/etc/hosts`.
pub fn hosts(of: &Hosts<'_>) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    if of.ipv6 {
        text += "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
                 ff02::2\tip6-allrouters\n";
    }
    for (name, address) in of.extra {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    let names = match (of.hostname, of.domain) {
        ("", _) => return text,
        (name, "") => match name.split_once('.') {
            Some((short, _)) => format!("{name} {short}"),
            None => name.to_owned(),
        },
        (name, domain) => format!("{name}.{domain} {name}"),
    };
    for address in of.addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

/// What `/etc/resolv.conf` is made of.
#[derive(Debug, Clone, Default)]
pub struct Resolving<'a> {
    /// The host's file ([`host_resolv_conf`]).
    pub host: &'a str,
    /// `--dns`, in place of the host's.
    pub servers: &'a [IpAddr],
    /// `--dns-search`, in place of the host's; `.` is none.
    pub search: &'a [String],
    /// `--dns-option`, in place of the host's.
    pub options: &'a [String],
    /// Whether names are answered in the container's networks.
    pub has_names: bool,
    /// Whether there is IPv6 in it.
    pub ipv6: bool,
}

/// The content of `/etc/resolv.conf` (resolv.conf(5)).
pub fn resolv_conf(of: &Resolving<'_>) -> String {
    let host = Parsed::read(of.host);
    let servers: Vec<String> = if of.has_names {
        vec![OWN_RESOLVER.into()]
    } else if of.servers.is_empty() {
        // A loopback of the host's is not the container's.
        let is_reached = |server: &&IpAddr| !server.is_loopback() && (of.ipv6 || server.is_ipv4());
        let reached: Vec<String> = host.servers.iter().filter(is_reached).map(IpAddr::to_string).collect();
        if reached.is_empty() { PUBLIC_RESOLVERS.map(str::to_owned).into() } else { reached }
    } else {
        of.servers.iter().map(IpAddr::to_string).collect()
    };
    let search = if of.search.is_empty() { host.search } else { of.search.to_vec() };
    let search: Vec<String> = search.into_iter().filter(|domain| domain != ".").collect();
    let mut options = if of.options.is_empty() { host.options } else { of.options.to_vec() };
    if of.has_names && !options.iter().any(|option| option.starts_with("ndots:")) {
        // Names of containers have no dot, and are to be asked for as they are.
        options.push("ndots:0".into());
    }
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for (keyword, words) in [("search", search), ("options", options)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{keyword} {}", words.join(" "));
        }
    }
    text + &host.rest
}

/// Where a server asks further: `--dns`, or whoever the host asks, in the host's own network.
pub fn upstream(host: &str, servers: &[IpAddr]) -> Vec<IpAddr> {
    if servers.is_empty() { Parsed::read(host).servers } else { servers.to_vec() }
}

/// The host's file. Behind systemd-resolved's stub, which containers don't reach, is the one that it was made from.
pub fn host_resolv_conf() -> String {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if Parsed::read(&text).servers == [IpAddr::from([127, 0, 0, 53])] {
        return std::fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(text);
    }
    text
}

/// Whether the host asks itself for names, which is out of a container's reach.
pub fn is_own_resolver(host: &str) -> bool {
    let servers = Parsed::read(host).servers;
    !servers.is_empty() && servers.iter().all(IpAddr::is_loopback)
}

#[derive(Debug, Default)]
struct Parsed {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    options: Vec<String>,
    /// Lines that are nobody's business here.
    rest: String,
}

impl Parsed {
    fn read(text: &str) -> Parsed {
        let mut parsed = Parsed::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                // An address of one link (fe80::1%eth0) is nobody's elsewhere.
                Some("nameserver") => parsed.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                // The last one counts.
                Some("search" | "domain") => parsed.search = words.collect(),
                Some("options") => parsed.options.extend(words),
                Some(word) if !word.starts_with(['#', ';']) => {
                    let _ = writeln!(parsed.rest, "{line}");
                }
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# made by hand\ndomain a\nsearch example.org b\nnameserver 127.0.0.1\nnameserver 192.0.2.53\n\
                        nameserver 2001:db8::53\nnameserver fe80::1%eth0\noptions edns0\noptions trust-ad\nsortlist 10.0.0.0\n";

    #[test]
    fn of_the_default_network() {
        let of = Resolving { host: HOST, ..Resolving::default() };
        let rest = "search example.org b\noptions edns0 trust-ad\nsortlist 10.0.0.0\n";
        assert_eq!(resolv_conf(&of), format!("nameserver 192.0.2.53\n{rest}"));
        let of = Resolving { ipv6: true, ..of };
        assert_eq!(resolv_conf(&of), format!("nameserver 192.0.2.53\nnameserver 2001:db8::53\n{rest}"));
        let of = Resolving { host: "nameserver 127.0.0.53\n", ..of };
        assert_eq!(resolv_conf(&of), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn of_a_network_with_names() {
        let of = Resolving { host: HOST, has_names: true, ..Resolving::default() };
        let text = resolv_conf(&of);
        assert!(
            text.starts_with("nameserver 127.0.0.11\nsearch example.org b\noptions edns0 trust-ad ndots:0\n"),
            "{text}"
        );
        let own = ["ndots:2".to_owned()];
        assert!(resolv_conf(&Resolving { options: &own, ..of.clone() }).contains("options ndots:2\n"));
        assert_eq!(upstream(HOST, &[]).len(), 3);
        assert_eq!(upstream(HOST, &[[9, 9, 9, 9].into()]), [IpAddr::from([9, 9, 9, 9])]);
    }

    #[test]
    fn what_was_asked_for_stands_in_place_of_the_hosts() {
        let (servers, search) = ([IpAddr::from([9, 9, 9, 9])], [".".to_owned()]);
        let of = Resolving { host: HOST, servers: &servers, search: &search, ..Resolving::default() };
        assert_eq!(resolv_conf(&of), "nameserver 9.9.9.9\noptions edns0 trust-ad\nsortlist 10.0.0.0\n");
    }

    #[test]
    fn names_of_the_container() {
        let addresses = [IpAddr::from([10, 0, 0, 2])];
        let extra = [("db".to_owned(), IpAddr::from([10, 9, 9, 9]))];
        let of = Hosts { hostname: "web", addresses: &addresses, extra: &extra, ..Hosts::default() };
        assert_eq!(hosts(&of), "127.0.0.1\tlocalhost\n10.9.9.9\tdb\n10.0.0.2\tweb\n");
        assert!(hosts(&Hosts { domain: "example.org", ..of.clone() }).ends_with("10.0.0.2\tweb.example.org web\n"));
        assert!(
            hosts(&Hosts { hostname: "web.example.org", ..of.clone() }).ends_with("10.0.0.2\tweb.example.org web\n")
        );
        assert!(hosts(&Hosts { ipv6: true, ..of }).contains("::1\tlocalhost ip6-localhost"));
    }
}
