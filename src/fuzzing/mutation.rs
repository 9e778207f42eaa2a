//! Changing JSON so that it stays JSON: bytes changed at random mostly end in a syntax error, and what is behind the parser is
//! never tried.

use serde_json::{Map, Number, Value, json};

/// Where readers of numbers come to an end.
const NUMBERS: [i128; 20] = [
    -1,
    0,
    1,
    2,
    7,
    8,
    64,
    340,
    4095,
    4096,
    65_535,
    1 << 20,
    1_000_000_000,
    i32::MAX as i128,
    u32::MAX as i128,
    1 << 32,
    i64::MIN as i128,
    i64::MAX as i128,
    1 << 63,
    u64::MAX as i128,
];

/// Where readers of texts turn.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "", "/", ".", "..", "/..", "//a//./../b", "\0", "a\0b", "\n", " ", "é", "\u{feff}", "=", "a=", "=b", "a=b=c", "-", ",", ":",
    "0-3,7", "3-0", "0-", "0-8191", "0-8192", "18446744073709551616", "-1", "1e9", "max", "2MB", "rwm", "c", "b", "p", "a",
    "bind", "rbind", "remount", "ro", "rro", "rprivate", "shared", "unbindable", "tmpcopyup", "idmap", "ridmap",
    "idmap=uids=0-0-1;gids=0-0-1", "idmap=uids=@0-0-1#1-1-1;gids=", "src-nofollow", "size=1", "mode=1777", "context=x",
    "proc", "tmpfs", "sysfs", "cgroup", "devpts", "overlay", "none", "/proc", "/proc/self/fd/3", "/proc/cpuinfo",
    "/sys/fs/cgroup", "/dev", "/dev/null", "/dev/pts", "/run/notify", "pid", "user", "mount", "network", "uts", "ipc", "time",
    "monotonic", "1.0.2", "2.0.0", "1.0.0-rc+5", "LINUX32", "SCHED_DEADLINE", "SCHED_FLAG_RECLAIM", "IOPRIO_CLASS_RT",
    "MPOL_BIND", "RLIMIT_NOFILE", "CAP_SYS_ADMIN", "cap_chown", "CAP_", "net.ipv4.ip_forward", "kernel.shmmax",
    "fs/mqueue/a.b", "net.../../kernel", "cgroup.kill", "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY", "SCMP_ACT_KILL",
    "SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_MASKED_EQ",
    "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "read", "write", "socket", "ioctl", "clone", "semop",
    "run.oci.keep_original_groups", "PATH", "PATH=", "HOME=", "NOTIFY_SOCKET=/x", "2026-01-02T03:04:05.000000006Z", "systemd",
];

/// Changes one place of a document, mostly into something of the same type. `choose` gives a number below the one that it is
/// given, which is above 0.
pub fn mutate(document: &mut Value, choose: &mut dyn FnMut(usize) -> usize) {
    let other = at(document, choose).clone();
    let place = at(document, choose);
    match (&*place, choose(16)) {
        (_, 0) => {
            *place = [json!(null), json!(true), json!(false), json!([]), json!({}), json!(0.5)][choose(6)].clone()
        }
        (_, 1) => *place = other,
        (Value::Array(_) | Value::Object(_), 2..=6) => repeat_or_nest(place, choose),
        (Value::Array(_) | Value::Object(_), _) => take_out_or_add(place, other, choose),
        (Value::String(_), 2) | (_, 3) => *place = number(choose),
        (Value::String(before), _) => *place = text(before, choose),
        (_, 2) => *place = text("", choose),
        (Value::Bool(value), _) => *place = Value::from(!value),
        (Value::Null | Value::Number(_), _) => *place = number(choose),
    }
}

/// Another text, or something put into the one that is there.
fn text(before: &str, choose: &mut dyn FnMut(usize) -> usize) -> Value {
    let text = TEXTS[choose(TEXTS.len())];
    let text = match choose(8) {
        0 => text.repeat(1 + choose(300)),
        1..=3 => "\0".to_owned(),
        _ => text.to_owned(),
    };
    let at = choose(before.len() + 1);
    match before.split_at_checked(at) {
        Some((start, end)) if choose(2) == 0 => Value::from(format!("{start}{text}{end}")),
        _ => Value::from(text),
    }
}

fn number(choose: &mut dyn FnMut(usize) -> usize) -> Value {
    Number::from_i128(NUMBERS[choose(NUMBERS.len())]).map_or(Value::Null, Value::Number)
}

/// A value somewhere in the document, mostly deep inside.
fn at<'v>(value: &'v mut Value, choose: &mut dyn FnMut(usize) -> usize) -> &'v mut Value {
    let count = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if count == 0 || choose(12) == 0 {
        return value;
    }
    let which = choose(count);
    let within = match value {
        Value::Array(list) => list.get_mut(which),
        Value::Object(map) => map.values_mut().nth(which),
        _ => None,
    };
    at(within.expect("there are as many as were counted"), choose)
}

/// The longest input that the fuzzer makes, in bytes.
const LONGEST: usize = 65536;

fn repeat_or_nest(place: &mut Value, choose: &mut dyn FnMut(usize) -> usize) {
    match place {
        Value::Array(list) if !list.is_empty() => {
            let one = list[choose(list.len())].clone();
            // No more than fits an input: lists of lists of lists would fill all memory.
            let most = LONGEST / (1 + one.to_string().len());
            list.extend(std::iter::repeat_n(one, (1 + choose(350)).min(most)));
        }
        _ => *place = json!({ "later": place.take() }),
    }
}

fn take_out_or_add(place: &mut Value, other: Value, choose: &mut dyn FnMut(usize) -> usize) {
    match place {
        Value::Array(list) if !list.is_empty() && choose(2) == 0 => drop(list.remove(choose(list.len()))),
        Value::Array(list) => list.push(other),
        Value::Object(map) if !map.is_empty() && choose(2) == 0 => {
            let key = map.keys().nth(choose(map.len())).cloned();
            key.map(|key| map.remove(&key));
        }
        Value::Object(map) => drop(map.insert(TEXTS[choose(TEXTS.len())].to_owned(), other)),
        _ => *place = Value::Object(Map::from_iter([("later".to_owned(), other)])),
    }
}
