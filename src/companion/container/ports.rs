//! Ports as `ps` shows them: docker's `DisplayablePorts`.

/// Ports that are published nowhere (`80/tcp`), and what others are on the host (`80/tcp`, `0.0.0.0:8080`), in docker's order: those in
/// a row that have the same number on both sides are one, and what has another number on the host comes last.
pub(super) fn shown(exposed: &[String], published: &[(String, String)]) -> String {
    let exposed = exposed.iter().filter_map(|port| Port::of(port, ""));
    let mut ports: Vec<Port<'_>> =
        exposed.chain(published.iter().filter_map(|(port, host)| Port::of(port, host))).collect();
    ports.sort_by_key(|port| (port.number, port.address, port.on_host, port.protocol));
    let (same, other): (Vec<_>, Vec<_>) = ports.into_iter().partition(Port::has_one_number);
    let mut texts = Vec::new();
    let mut rows: Vec<(Port<'_>, u16)> = Vec::new();
    for port in same {
        let of_kind = |(row, _): &&mut (Port<'_>, u16)| (row.address, row.protocol) == (port.address, port.protocol);
        match rows.iter_mut().find(of_kind) {
            None => rows.push((port, port.number)),
            Some((_, last)) if last.checked_add(1) == Some(port.number) => *last = port.number,
            Some(row) => {
                texts.push(row.0.to(row.1));
                *row = (port, port.number);
            }
        }
    }
    texts.extend(rows.iter().map(|(first, last)| first.to(*last)));
    texts.extend(
        other.iter().map(|port| format!("{}:{}->{}/{}", port.address, port.on_host, port.number, port.protocol)),
    );
    texts.join(", ")
}

#[derive(Debug, Clone, Copy)]
struct Port<'p> {
    number: u16,
    protocol: &'p str,
    /// Of the host; empty where it is not published.
    address: &'p str,
    on_host: u16,
}

impl<'p> Port<'p> {
    fn of(port: &'p str, host: &'p str) -> Option<Port<'p>> {
        let (number, protocol) = port.split_once('/')?;
        let number = number.parse().ok()?;
        let (address, on_host) = match host.rsplit_once(':') {
            Some((address, on_host)) => (address, on_host.parse().ok()?),
            None => ("", number),
        };
        Some(Port { number, protocol, address, on_host })
    }

    fn has_one_number(&self) -> bool {
        self.number == self.on_host
    }

    /// It, and those after it up to another one.
    fn to(&self, last: u16) -> String {
        let numbers = match last == self.number {
            true => last.to_string(),
            false => format!("{}-{last}", self.number),
        };
        match self.address {
            "" => format!("{numbers}/{}", self.protocol),
            address => format!("{address}:{numbers}->{numbers}/{}", self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn in_dockers_order() {
        let exposed = ["100/tcp", "101/tcp", "102/tcp", "5/udp"].map(str::to_owned);
        let on = |port: u16, host: u16| (format!("{port}/tcp"), format!("127.0.0.1:{host}"));
        let published = [on(80, 8001), on(8010, 8010), on(8011, 8011), on(8012, 8012), on(9000, 9000)];
        // As docker 20.10 printed it.
        let wanted = "127.0.0.1:8010-8012->8010-8012/tcp, 5/udp, 100-102/tcp, 127.0.0.1:9000->9000/tcp, \
                      127.0.0.1:8001->80/tcp";
        assert_eq!(shown(&exposed, &published), wanted);
        assert_eq!(shown(&[], &[("80/tcp".into(), "[::]:8080".into())]), "[::]:8080->80/tcp");
        assert_eq!(shown(&["65535/tcp".into()], &[]), "65535/tcp");
        assert_eq!(shown(&[], &[]), "");
    }
}
