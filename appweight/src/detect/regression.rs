/// A change that the data show, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// In logs.
    pub(crate) effect: f64,
    /// Variance of it.
    pub(crate) variance: f64,
}

impl Estimate {
    pub(crate) fn z(&self) -> f64 {
        self.effect / self.variance.sqrt()
    }
}

/// Normal equations of a regression on columns of which most have no effect.
pub(crate) struct Regression<'a> {
    pub(crate) information: &'a [f64],
    pub(crate) score: &'a [f64],
}

/// A neighbour's change is let in from so many standard errors on.
const ENTERS_AT: f64 = 3.2;
/// Columns that add less than this share to what is known tell nothing of their own.
const SINGULAR: f64 = 1e-9;

impl Regression<'_> {
    fn count(&self) -> usize {
        self.score.len()
    }

    /// Least squares on some columns: effect and variance of the last of them.
    pub(crate) fn estimate_last(&self, chosen: &[usize]) -> Option<Estimate> {
        // Gauss elimination in the order given; the last pivot is the last column's information
        // given the others (its Schur complement).
        let size = chosen.len();
        let count = self.count();
        let mut matrix: Vec<f64> = Vec::with_capacity(size * (size + 1));
        for &row in chosen {
            matrix.extend(
                chosen
                    .iter()
                    .map(|other| self.information[row * count + other]),
            );
            matrix.push(self.score[row]);
        }
        let width = size + 1;
        for pivot in 0..size {
            let value = matrix[pivot * width + pivot];
            let before = self.information[chosen[pivot] * count + chosen[pivot]];
            if !(value > SINGULAR * before && value > 0.0) {
                return None;
            }
            for row in pivot + 1..size {
                let factor = matrix[row * width + pivot] / value;
                for at in pivot..width {
                    matrix[row * width + at] -= factor * matrix[pivot * width + at];
                }
            }
        }
        let last = size.checked_sub(1)?;
        let information = matrix[last * width + last];
        Some(Estimate {
            effect: matrix[last * width + size] / information,
            variance: 1.0 / information,
        })
    }

    /// The columns that the data demand, beyond those that are let in anyway: the one with most standard
    /// errors first, then the next given the first (forward selection, Efroymson 1960).
    pub(crate) fn demanded(&self, always: &[usize], scale: f64) -> Vec<usize> {
        let mut chosen = always.to_vec();
        loop {
            let mut best: Option<(usize, f64)> = None;
            for column in (0..self.count()).filter(|column| !chosen.contains(column)) {
                let mut with = chosen.clone();
                with.push(column);
                let Some(estimate) = self.estimate_last(&with) else {
                    continue;
                };
                let z = estimate.z().abs() / scale;
                if z > ENTERS_AT && best.is_none_or(|(_, most)| z > most) {
                    best = Some((column, z));
                }
            }
            match best {
                Some((column, _)) => chosen.push(column),
                None => return chosen,
            }
        }
    }

    /// The effect of one column, given others.
    pub(crate) fn given(&self, column: usize, others: &[usize]) -> Option<Estimate> {
        let mut order: Vec<usize> = others.iter().copied().filter(|at| *at != column).collect();
        order.push(column);
        self.estimate_last(&order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_columns_are_told_apart_by_where_they_differ() {
        // Ten cells with the first column only (effect 2), ten with both (effect 2 + 3).
        let regression = Regression {
            information: &[20.0, 10.0, 10.0, 10.0],
            score: &[70.0, 50.0],
        };
        let second = regression.given(1, &[0]).unwrap();
        assert!((second.effect - 3.0).abs() < 1e-12);
        assert!((second.variance - 1.0 / (10.0 - 100.0 / 20.0)).abs() < 1e-12);
        let first = regression.given(0, &[1]).unwrap();
        assert!((first.effect - 2.0).abs() < 1e-12);
        // Alone, the second explains a little more than the first: 50² / 10 against 70² / 20.
        assert_eq!(regression.demanded(&[], 1.0), [1, 0]);
        assert_eq!(regression.demanded(&[], 4.0), [1]);
    }

    #[test]
    fn columns_that_are_the_same_cannot_be_told_apart() {
        let regression = Regression {
            information: &[10.0, 10.0, 10.0, 10.0],
            score: &[20.0, 20.0],
        };
        assert_eq!(regression.given(1, &[0]), None);
    }
}
