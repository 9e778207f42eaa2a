//! `linux.resources.hugepageLimits` → `hugetlb.SIZE.max` and `hugetlb.SIZE.rsvd.max`.

use anyhow::{Result, bail};

use super::{IfMissing, Write};
use crate::spec::resources::LinuxHugepageLimit;

/// Both what is faulted in and what is reserved by mmap(2) are limited: a process that reserves more than it may have
/// would else be killed by SIGBUS at the first touch instead of being told by mmap.
pub(super) fn writes(limits: &[LinuxHugepageLimit]) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (index, LinuxHugepageLimit { page_size, limit }) in limits.iter().enumerate() {
        let field = format!("linux.resources.hugepageLimits[{index}]");
        if !is_page_size(page_size) {
            bail!("{field}.pageSize: {page_size:?} is not a size like \"2MB\" (a number and KB, MB or GB)");
        }
        writes.push(Write::new(format!("hugetlb.{page_size}.max"), limit, format!("{field}.limit")));
        let reserved = Write::new(format!("hugetlb.{page_size}.rsvd.max"), limit, format!("{field}.limit"));
        writes.push(reserved.if_missing(IfMissing::Skip));
    }
    Ok(writes)
}

/// `^[1-9][0-9]*[KMG]B$`, as the specification has it and the kernel names its files.
fn is_page_size(text: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| {
        !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::super::{refusal, table};
    use super::*;

    #[test]
    fn pages_and_reservations_are_limited() {
        assert_eq!(
            table(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304},{"pageSize":"1GB","limit":0}]}"#),
            [
                "hugetlb.2MB.max = 4194304",
                "hugetlb.2MB.rsvd.max = 4194304",
                "hugetlb.1GB.max = 0",
                "hugetlb.1GB.rsvd.max = 0"
            ]
        );
    }

    #[test]
    fn page_sizes_are_checked() {
        assert!(["64KB", "2MB", "16GB"].iter().all(|size| is_page_size(size)));
        assert!(
            !["", "MB", "2M", "02MB", "2mb", "../2MB", "2/3MB", "2TB", "-2MB"].iter().any(|size| is_page_size(size))
        );
        assert!(
            refusal(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":1},{"limit":1}]}"#)
                .starts_with("linux.resources.hugepageLimits[1].pageSize: \"\" ")
        );
    }
}
