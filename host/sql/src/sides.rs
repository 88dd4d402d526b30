//! The table of LAST JOIN: the rows of both sides under the columns of both, keyed by what ON compares.
//!
//! A row has nulls for the columns of the other side, but for the key and the event time, which both have. Must not know
//! what the query computes of it.

use crate::changes::refuse_changes;
use crate::expressions::{Bound, Functions};
use crate::last_join::{IS_RIGHT, Join, Side, right_name, unknown};
use crate::relation::{Branch, Made, Making, Relation, Table, stream_scope};
use crate::report::{Refusal, Report};
use crate::stage::written;
use crate::syntax::place;
use crate::views::{Base, JoinedSides, Source};
use sqlparser::ast::{BinaryOperator, Expr, Ident, Value};
use sqlparser::tokenizer::Location;
use weir_event::{DataType, Field, StreamSchema};

impl Making<'_> {
    /// The table of both sides.
    pub(crate) fn last_join(&self, sides: &JoinedSides, report: &mut Report<'_>) -> Option<Relation> {
        let left = self.side(&sides.left, report);
        let right = self.side(&sides.right, report);
        let (left, right) = (left?, right?);
        refuse_changes(left.branches.iter().chain(&right.branches), report)?;
        let (of_left, of_right) = (side(&sides.left, &left), side(&sides.right, &right));
        let pairs = match pairs(&sides.on, sides.at, [&of_left, &of_right]) {
            Ok(pairs) => pairs,
            Err(refusals) => {
                report.refuse_all(refusals);
                return None;
            }
        };
        let at = sides.at;
        let pairs = report.take(of_one_type(&pairs, &left.schema, &right.schema, at))?;
        let keys = pairs.iter().map(|(key, _)| left.schema.fields[*key].name.clone()).collect();
        let join = Join {
            at,
            keys,
            left_inputs: left.branches.len() as u16,
            within: sides.within,
            left: of_left,
            right: of_right,
        };
        let schema = schema(&left.schema, &right.schema, &join.right.qualifier);
        let made =
            BothSides { functions: self.functions, left: &left.schema, right: &right.schema, pairs: &pairs };
        let branches = made.branches(left.branches, right.branches, at);
        let branches = report.take(branches)?;
        Some(Relation { name: join.left.qualifier.clone(), schema, branches, join: Some(join) })
    }

    fn side(&self, source: &Source, report: &mut Report<'_>) -> Option<Table> {
        match &source.base {
            Base::Stream(..) => self.union(std::slice::from_ref(source), report),
            Base::Union { branches, .. } if source.views.is_empty() => self.union(branches, report),
            base => {
                let message = "a side of LAST JOIN is a stream, a query over one, or several between UNION ALL; compute in \
                               the queries between UNION ALL";
                report.refuse(Refusal::new(base.at(), message));
                None
            }
        }
    }
}

fn side(source: &Source, table: &Table) -> Side {
    let name = |field: &Field| field.name.clone();
    Side {
        qualifier: source.qualifier.clone(),
        columns: table.schema.fields.iter().map(name).collect(),
        event_time: table.schema.fields.get(table.schema.event_time).map(name).unwrap_or_default(),
    }
}

/// The columns that ON compares, by their names on either side.
fn pairs(on: &Expr, at: Location, sides: [&Side; 2]) -> Result<Vec<[Ident; 2]>, Vec<Refusal>> {
    match on {
        Expr::Nested(inner) => pairs(inner, at, sides),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            match (pairs(left, at, sides), pairs(right, at, sides)) {
                (Ok(left), Ok(right)) => Ok([left, right].concat()),
                (left, right) => Err(left.err().into_iter().chain(right.err()).flatten().collect()),
            }
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let named = (of_side(left, sides)?, of_side(right, sides)?);
            match named {
                ((0, one), (1, other)) | ((1, other), (0, one)) => Ok(vec![[one, other]]),
                _ => Err(vec![not_of_both(on, at, sides)]),
            }
        }
        other => Err(vec![not_of_both(other, at, sides)]),
    }
}

fn not_of_both(condition: &Expr, at: Location, [left, right]: [&Side; 2]) -> Refusal {
    let message = format!(
        "ON of LAST JOIN compares columns of both sides, as in {0}.x = {1}.y AND {0}.z = {1}.z, not {2}; other conditions \
         belong into a query inside FROM",
        left.qualifier,
        right.qualifier,
        written(condition)
    );
    Refusal::new(place(condition, at), message)
}

/// Which side a column is of, and its name there.
fn of_side(expression: &Expr, sides: [&Side; 2]) -> Result<(usize, Ident), Vec<Refusal>> {
    let refuse = |refusal: Refusal| Err(vec![refusal]);
    let known = |side: usize, name: &Ident| match sides[side].own(&name.value) {
        Some(own) => Ok((side, Ident { value: own.to_owned(), ..name.clone() })),
        None => refuse(unknown(sides[side], name)),
    };
    match expression {
        Expr::CompoundIdentifier(path) if path.len() == 2 => {
            match sides.iter().position(|side| side.qualifier == path[0].value) {
                Some(side) => known(side, &path[1]),
                None => refuse(not_of_both(expression, path[0].span.start, sides)),
            }
        }
        Expr::Identifier(name) => match sides.map(|side| side.has(&name.value)) {
            [true, false] => known(0, name),
            [false, true] => known(1, name),
            [true, true] => refuse(Refusal::new(
                name.span.start,
                format!(
                    "`{0}` is a column of both sides; write {1}.{0} and {2}.{0}",
                    name.value, sides[0].qualifier, sides[1].qualifier
                ),
            )),
            [false, false] => refuse(unknown(sides[0], name)),
        },
        other => refuse(not_of_both(other, place(other, crate::report::START), sides)),
    }
}

/// The pairs as positions among the columns of either side; both of a pair have to be of one type.
fn of_one_type(
    pairs: &[[Ident; 2]],
    left: &StreamSchema,
    right: &StreamSchema,
    at: Location,
) -> Result<Vec<(usize, usize)>, Refusal> {
    let position = |schema: &StreamSchema, name: &Ident| schema.index_of(&name.value);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for [one, other] in pairs {
        let (Some(of_left), Some(of_right)) = (position(left, one), position(right, other)) else { continue };
        let types = [&left.fields[of_left].data_type, &right.fields[of_right].data_type];
        if types[0] != types[1] {
            let message = format!(
                "ON compares `{}`, a {}, with `{}`, a {}; CAST one of them in a query inside FROM",
                one.value, types[0], other.value, types[1]
            );
            return Err(Refusal::new(if one.span.start.line == 0 { at } else { one.span.start }, message));
        }
        if found.iter().any(|(known, _)| *known == of_left) {
            let message =
                format!("ON compares `{}` twice; compare each column of the left side once", one.value);
            return Err(Refusal::new(one.span.start, message));
        }
        found.push((of_left, of_right));
    }
    Ok(found)
}

fn schema(left: &StreamSchema, right: &StreamSchema, qualifier: &str) -> StreamSchema {
    let of_right =
        right.fields.iter().map(|field| Field { name: right_name(qualifier, &field.name), ..field.clone() });
    let mark = Field::named(IS_RIGHT, DataType::Boolean);
    let fields = left.fields.iter().cloned().chain(of_right).chain([mark]).collect();
    StreamSchema { fields, event_time: left.event_time }
}

/// What the table's columns are in either side's rows.
struct BothSides<'b> {
    functions: &'b Functions<'b>,
    left: &'b StreamSchema,
    right: &'b StreamSchema,
    /// Positions of the columns that ON compares.
    pairs: &'b [(usize, usize)],
}

impl BothSides<'_> {
    fn branches(&self, left: Vec<Branch>, right: Vec<Branch>, at: Location) -> Result<Vec<Branch>, Refusal> {
        let left = left.into_iter().map(|branch| self.branch(branch, false));
        let both = left.chain(right.into_iter().map(|branch| self.branch(branch, true)));
        both.collect::<Result<_, _>>().map_err(|message: String| Refusal::new(at, message))
    }

    fn branch(&self, branch: Branch, is_right: bool) -> Result<Branch, String> {
        let Some(Made { columns: own, filter }) = branch.made else { return Ok(branch) };
        let scope = stream_scope(&branch.stream, None, self.functions)?;
        let constant = |value: Value| scope.bind(Expr::Value(value.into()));
        let null = constant(Value::Null)?;
        let nulls = |schema: &StreamSchema| -> Vec<Bound> {
            schema.fields.iter().map(|field| null.clone().cast(&field.data_type.to_arrow())).collect()
        };
        let mark = constant(Value::Boolean(is_right))?;
        if !is_right {
            let columns = own.into_iter().chain(nulls(self.right)).chain([mark]).collect();
            return Ok(Branch { made: Some(Made { columns, filter }), ..branch });
        }
        let mut of_left = nulls(self.left);
        of_left[self.left.event_time] = own[self.right.event_time].clone();
        let mut kept = filter;
        for (key, of_right) in self.pairs {
            let value = own[*of_right].clone();
            // A null equals nothing.
            let is_there = value.clone().not_null();
            kept = Some(match kept {
                Some(kept) => kept.and(is_there),
                None => is_there,
            });
            of_left[*key] = value;
        }
        let columns = of_left.into_iter().chain(own).chain([mark]).collect();
        Ok(Branch { made: Some(Made { columns, filter: kept }), is_right, ..branch })
    }
}
