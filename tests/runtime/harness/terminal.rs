//! The other side of terminals and sockets: a pseudo-terminal to run the runtime on, a socket that receives one.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use super::wait::{LIMIT, read_to_end, read_until, readable};

/// The master side of a pseudo-terminal.
#[derive(Debug)]
pub struct Terminal(pub File);

impl Terminal {
    /// A new pseudo-terminal, and the side that a process gets.
    pub fn open() -> (Terminal, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("open a pseudo-terminal");
        grantpt(&master).expect("grant the pseudo-terminal");
        unlockpt(&master).expect("unlock the pseudo-terminal");
        let slave = ioctl_tiocgptpeer(&master, flags).expect("open the other side of the pseudo-terminal");
        (Terminal(master.into()), slave)
    }

    /// Reads until a text has come.
    #[track_caller]
    pub fn until(&self, needle: &str) -> String {
        read_until(&self.0, needle)
    }

    /// Reads until the last process has closed the other side.
    #[track_caller]
    pub fn rest(&self) -> String {
        read_to_end(&self.0)
    }

    pub fn write(&self, text: &str) {
        (&self.0).write_all(text.as_bytes()).expect("write to the terminal");
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.0, size).expect("resize the terminal");
    }

    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        let size = tcgetwinsize(&self.0).expect("ask for the terminal's size");
        (size.ws_row, size.ws_col)
    }
}

/// A socket that waits for one descriptor, as an engine's console socket or pidfd socket does.
#[derive(Debug)]
pub struct Receiver(UnixListener);

impl Receiver {
    #[track_caller]
    pub fn listen(path: &Path) -> Receiver {
        Receiver(UnixListener::bind(path).unwrap_or_else(|error| panic!("listen at {}: {error}", path.display())))
    }

    /// Accepts the connection that the runtime has made, perhaps long ago, and returns the message's text and its one
    /// descriptor. Nothing may follow.
    #[track_caller]
    pub fn receive(self) -> (String, OwnedFd) {
        assert!(readable(&self.0, Instant::now() + LIMIT), "nobody connects to the socket");
        let (mut stream, _) = self.0.accept().expect("accept the runtime's connection");
        assert!(readable(&stream, Instant::now() + LIMIT), "nothing comes over the socket");
        let mut bytes = [0u8; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        let length = message.expect("receive the descriptor").bytes;
        let mut received: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(descriptors) => received.extend(descriptors),
                _ => panic!("an unexpected control message"),
            }
        }
        assert_eq!(received.len(), 1, "engines take exactly one descriptor");
        assert!(readable(&stream, Instant::now() + LIMIT), "the runtime keeps the socket open");
        assert_eq!(stream.read(&mut [0]).expect("read to the end"), 0, "there is more than one message");
        let text = String::from_utf8(bytes[..length].to_vec()).expect("the message is text");
        (text, received.remove(0))
    }
}
