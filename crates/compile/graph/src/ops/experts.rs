//! Mixture of experts: a router's scores choose which gated layers a row visits.

use super::{OpError, Operands};
use crate::Type;
use alloc::format;
use plan::op::Experts;

pub(super) fn infer(operands: &Operands<'_>, experts: &Experts) -> Result<Type, OpError> {
    operands.at_most(5)?;
    let (x, width) = operands.rows(0)?;
    let (router, scores) = operands.rows(1)?;
    let (count, hidden) = (u64::from(experts.count), u64::from(experts.hidden));
    operands.require(scores == count && router.dims[0] == x.dims[0], || {
        format!("the router must give [{}, {count}], gives {router:?}", x.dims[0])
    })?;
    operands.require(experts.used > 0 && experts.used <= experts.count, || {
        format!("{} of {count} experts cannot be used", experts.used)
    })?;
    operands.weight_of(2, &[count, hidden, width])?;
    operands.weight_of(3, &[count, hidden, width])?;
    operands.weight_of(4, &[count, width, hidden])?;
    Ok(x.clone())
}
