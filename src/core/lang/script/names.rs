//! What scripts may call, so that a misspelt call is told when it is loaded. The engine
//! itself would find it out only when it gets there.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Engine, Expr, FnPtr, Position, Stmt};

/// The objects of the interface: what each can do, with how many values.
pub const OBJECTS: [(&str, &[(&str, usize)]); 7] = [
    ("api", &[("get", 1), ("post", 2), ("put", 2), ("delete", 1), ("pages", 2)]),
    ("store", &[("get", 1), ("set", 2)]),
    ("time", &[("now", 0), ("parse", 1), ("since", 1)]),
    ("url", &[("encode", 1)]),
    ("version", &[("compare", 2)]),
    ("log", &[("info", 1), ("warn", 1)]),
    ("metric", &[("set", 3), ("inc", 1)]),
];

/// The functions of the interface that belong to no object.
pub const FUNCTIONS: [(&str, usize); 1] = [("emit", 2)];

/// Those that the engine knows without having them registered.
const BUILT_IN: [&str; 9] =
    ["Fn", "call", "curry", "debug", "is_def_fn", "is_def_var", "is_shared", "print", "type_of"];

type Wrong = (Position, String);

/// Finds the first call of what does not exist.
pub(super) fn check(engine: &Engine, ast: &AST) -> Result<(), Wrong> {
    let mut known: BTreeSet<(String, usize)> = FUNCTIONS.map(|(name, count)| (name.to_owned(), count)).into();
    known.extend(ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())));
    let info = |function: rhai::FuncInfo<'_>| Some((function.metadata.name.to_string(), function.metadata.num_params));
    known.extend(engine.collect_fn_metadata(None, info, true));
    known.retain(|(name, _)| !engine.is_symbol_disabled(name));
    let own = own_names(ast);
    let mut wrong = None;
    ast.walk(&mut |path| {
        wrong = path.last().and_then(|node| problem(node, &known, &own));
        wrong.is_none()
    });
    wrong.map_or(Ok(()), Err)
}

/// The variables and parameters of the script, which may hide an object.
fn own_names(ast: &AST) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    // What a closure captures is given to it before its own parameters.
    let mut captured = BTreeMap::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => own.extend([variable.0.name.to_string()]),
            Some(ASTNode::Stmt(Stmt::For(each, _))) => {
                own.extend([Some(&each.0), each.1.as_ref()].into_iter().flatten().map(|name| name.name.to_string()));
            }
            Some(ASTNode::Stmt(Stmt::TryCatch(flow, _))) => {
                own.extend(if let Expr::Variable(name, ..) = &flow.expr { Some(name.1.to_string()) } else { None });
            }
            Some(ASTNode::Expr(Expr::FnCall(call, _))) if call.name == "curry" => {
                if let Some(Expr::DynamicConstant(closure, _)) = call.args.first()
                    && let Some(closure) = closure.read_lock::<FnPtr>()
                {
                    captured.insert(closure.fn_name().to_owned(), call.args.len() - 1);
                }
            }
            _ => {}
        }
        true
    });
    for function in ast.iter_functions() {
        let given = captured.get(function.name).copied().unwrap_or(0);
        own.extend(function.params.iter().skip(given).map(|name| (*name).to_owned()));
    }
    own
}

fn problem(node: &ASTNode<'_>, known: &BTreeSet<(String, usize)>, own: &BTreeSet<String>) -> Option<Wrong> {
    let (call, position) = match node {
        ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position)) => (call, position),
        ASTNode::Expr(Expr::Dot(dot, ..)) => {
            let Expr::Variable(object, ..) = &dot.lhs else { return None };
            return asked(object.1.as_str(), first(&dot.rhs), own);
        }
        _ => return None,
    };
    let (name, count) = (call.name.as_str(), call.args.len());
    if call.is_operator_call() || BUILT_IN.contains(&name) || known.contains(&(name.to_owned(), count)) {
        return None;
    }
    let counts: Vec<_> = known.iter().filter(|(known, _)| known == name).map(|(_, count)| count.to_string()).collect();
    let text = match counts.as_slice() {
        [] => format!("there is no function {name}"),
        counts => format!("{name} takes {} values, not {count}", counts.join(" or ")),
    };
    Some((*position, text))
}

/// What comes first behind a dot.
fn first(expr: &Expr) -> &Expr {
    match expr {
        Expr::Dot(inner, ..) | Expr::Index(inner, ..) => first(&inner.lhs),
        other => other,
    }
}

fn asked(object: &str, what: &Expr, own: &BTreeSet<String>) -> Option<Wrong> {
    let (_, can) = OBJECTS.iter().find(|(name, _)| *name == object && !own.contains(*name))?;
    let (name, count) = match what {
        Expr::MethodCall(call, _) => (call.name.as_str(), Some(call.args.len())),
        Expr::Property(property, _) => (property.2.as_str(), None),
        _ => return None,
    };
    let list = || can.iter().map(|(name, _)| format!("{object}.{name}")).collect::<Vec<_>>().join(", ");
    let text = match (can.iter().find(|(known, _)| *known == name), count) {
        (Some((_, wants)), Some(count)) if *wants == count => return None,
        (Some((_, wants)), Some(count)) => format!("{object}.{name} takes {wants} values, not {count}"),
        (Some(_), None) => format!("{object}.{name} is a function; call it by ()"),
        (None, _) => format!("there is no {object}.{name}; there are {}", list()),
    };
    Some((what.position(), text))
}
