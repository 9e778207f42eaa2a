//! `linux.resources.hugepageLimits`.

use std::sync::LazyLock;

use serde_json::json;

use crate::group::{Group, MIB};
use crate::harness::{Bundle, host};

static PAGES: LazyLock<()> = LazyLock::new(|| drop(host("echo 16 > /proc/sys/vm/nr_hugepages")));

#[test]
fn pages_beyond_the_limit_are_refused() {
    LazyLock::force(&PAGES);
    let take = "fallocate -l 4M /pages/two && echo two >&2; fallocate -l 6M /pages/more 2>/dev/null || echo refused >&2; \
                exec sleep infinity";
    let mut bundle = Bundle::script(take);
    bundle.config.mount("/pages", "hugetlbfs", "pages", &["pagesize=2M"]);
    bundle.config.set("/linux/resources/hugepageLimits", json!([{"pageSize": "2MB", "limit": 4 * MIB}]));
    let (container, said) = bundle.start_until("refused\n");
    assert!(said.starts_with("two\n"), "{said}");
    let group = Group::of(&container);
    group.holds(&[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")]);
    assert!(group.count("hugetlb.2MB.events", "max") > 0, "{}", group.read("hugetlb.2MB.events"));
    assert!(group.number("hugetlb.2MB.current") <= 4 << 20);
    let statistics = container.call("events").args(["--stats", &container.id]).ok().json();
    assert_eq!(statistics["data"]["hugetlb"]["2MB"]["failcnt"], group.count("hugetlb.2MB.events", "max"));
}

#[test]
fn a_page_size_that_the_machine_has_not_is_refused() {
    let mut bundle = Bundle::staying();
    bundle.config.set("/linux/resources/hugepageLimits", json!([{"pageSize": "3MB", "limit": MIB}]));
    bundle.refused(&["linux.resources.hugepageLimits[0].limit", "hugetlb.3MB.max", "no such parameter"]);
}
