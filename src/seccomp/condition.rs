//! Conditions on the arguments of a system call.

use anyhow::{Result, bail, ensure};

use crate::spec::seccomp::Argument;

/// The names of all comparison operators.
pub const OPERATORS: &[&str] =
    &["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// Equal under a mask.
    MaskedEqual,
}

/// What must hold of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// Which argument: 0 to 5.
    pub(crate) argument: u8,
    pub(crate) operator: Operator,
    /// The bits that count; all of them but for [`Operator::MaskedEqual`].
    pub(crate) mask: u64,
    /// What the argument is compared with; has no bit outside the mask.
    pub(crate) value: u64,
    /// Whether the upper half of the argument is looked at.
    pub(crate) wide: bool,
}

impl Condition {
    /// Reads a condition of a profile.
    pub(crate) fn parse(from: &Argument) -> Result<Self> {
        use Operator::*;
        let operator = match from.op.as_str() {
            "SCMP_CMP_EQ" => Equal,
            "SCMP_CMP_NE" => NotEqual,
            "SCMP_CMP_GT" => Greater,
            "SCMP_CMP_GE" => GreaterOrEqual,
            "SCMP_CMP_LT" => Less,
            "SCMP_CMP_LE" => LessOrEqual,
            "SCMP_CMP_MASKED_EQ" => MaskedEqual,
            "" => bail!("no operator is given"),
            other => bail!("{other:?} is no operator"),
        };
        ensure!(from.index < 6, "a system call has the arguments 0 to 5, not {}", from.index);
        let (mask, value) = match operator {
            MaskedEqual => (from.value, from.value_two & from.value),
            _ => (u64::MAX, from.value),
        };
        Ok(Self { argument: from.index as u8, operator, mask, value, wide: true })
    }

    /// An argument that equals a value.
    pub(crate) fn equal(argument: u8, value: u64) -> Self {
        Self { argument, operator: Operator::Equal, mask: u64::MAX, value, wide: true }
    }

    /// The same condition where arguments have 32 bits: the upper halves of mask and value don't count.
    pub(crate) fn narrow(self) -> Self {
        let lower = u64::from(u32::MAX);
        Self { mask: self.mask & lower, value: self.value & lower, wide: false, ..self }
    }

    /// A mask without bits: whatever the argument is.
    pub(crate) fn always_holds(self) -> bool {
        self.mask == 0
    }
}
