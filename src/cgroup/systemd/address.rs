//! Where systemd listens.

use std::path::PathBuf;

/// A socket to talk to systemd through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) socket: Socket,
    /// There is a bus between us and systemd, which wants a greeting.
    pub(super) is_bus: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Socket {
    Path(PathBuf),
    Abstract(Vec<u8>),
}

/// The places to try, in their order: systemd's own socket first, as systemctl does, since a bus between only costs time,
/// and may not be there. `environment` gives variables by their names.
pub(super) fn addresses(is_user: bool, environment: impl Fn(&str) -> Option<String>) -> Vec<Address> {
    let mut all = Vec::new();
    let runtime_directory = environment("XDG_RUNTIME_DIR").filter(|path| path.starts_with('/'));
    let own = match is_user {
        true => runtime_directory.as_ref().map(|directory| format!("{directory}/systemd/private")),
        false => Some("/run/systemd/private".to_owned()),
    };
    all.extend(own.map(|path| Address { socket: Socket::Path(path.into()), is_bus: false }));
    let (variable, usual) = match is_user {
        true => ("DBUS_SESSION_BUS_ADDRESS", runtime_directory.map(|directory| format!("{directory}/bus"))),
        false => ("DBUS_SYSTEM_BUS_ADDRESS", Some("/run/dbus/system_bus_socket".to_owned())),
    };
    let buses = match environment(variable).filter(|list| !list.is_empty()) {
        Some(list) => list.split(';').filter_map(socket).collect(),
        None => usual.map(|path| vec![Socket::Path(path.into())]).unwrap_or_default(),
    };
    all.extend(buses.into_iter().map(|socket| Address { socket, is_bus: true }));
    all
}

/// Reads one address, `unix:path=/x,guid=…` or `unix:abstract=x`; other transports are not for us.
fn socket(address: &str) -> Option<Socket> {
    let pairs = address.trim().strip_prefix("unix:")?.split(',').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find_map(|(key, value)| match key {
        "path" => Some(Socket::Path(String::from_utf8(unescape(value)?).ok()?.into())),
        "abstract" => Some(Socket::Abstract(unescape(value)?)),
        _ => None,
    })
}

/// `%` and two hexadecimal digits stand for a byte (D-Bus specification, "Server Addresses").
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(is_user: bool, variables: &[(&str, &str)]) -> Vec<Address> {
        let value = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        addresses(is_user, value)
    }

    fn at(path: &str, is_bus: bool) -> Address {
        Address { socket: Socket::Path(path.into()), is_bus }
    }

    #[test]
    fn the_system_is_at_fixed_places() {
        let expected = [at("/run/systemd/private", false), at("/run/dbus/system_bus_socket", true)];
        assert_eq!(of(false, &[("XDG_RUNTIME_DIR", "/run/user/0")]), expected);
    }

    #[test]
    fn a_user_is_found_by_the_environment() {
        let expected = [at("/run/user/7/systemd/private", false), at("/run/user/7/bus", true)];
        assert_eq!(of(true, &[("XDG_RUNTIME_DIR", "/run/user/7")]), expected);
        let bus = ("DBUS_SESSION_BUS_ADDRESS", "tcp:host=x;unix:path=/a%20b,guid=5;unix:abstract=/tmp/x");
        let through_a_bus = [at("/a b", true), Address { socket: Socket::Abstract(b"/tmp/x".to_vec()), is_bus: true }];
        assert_eq!(of(true, &[bus]), through_a_bus);
        assert_eq!(of(true, &[("XDG_RUNTIME_DIR", "relative")]), []);
    }

    #[test]
    fn what_is_no_address_is_passed_over() {
        for wrong in ["", "unix:", "unix:path", "unix:path=%", "unix:path=%zz", "unix:tmpdir=/x", "tcp:path=/x"] {
            assert_eq!(socket(wrong), None, "{wrong}");
        }
    }
}
