package guard;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The formulas that clients of a view-only server may use: columns, constants, operators and some functions.
 *
 * <p>The engine compiles formulas as Java. So nothing is let through that is not known here: no member of anything, no
 * array, no lambda, no class, no variable.
 */
final class Formula {
    static final int LONGEST = 1_000;
    private static final int DEEPEST = 30;
    private static final int MOST_COLUMNS = 200;

    /** Each new formula is a class that the JVM keeps for good. */
    private static final int MOST_DIFFERENT = 10_000;

    private static final Set<String> seen = ConcurrentHashMap.newKeySet();

    private static final Set<String> FUNCTIONS = Set.of(
            "abs", "ceil", "exp", "floor", "isFinite", "isInf", "isNaN", "isNull", "log", "log10", "lowerBin", "max",
            "min", "pow", "replaceIfNull", "rint", "round", "signum", "sqrt", "upperBin");
    private static final Set<String> WORDS = Set.of(
            "true", "false", "null", "in", "not", "icase", "i", "ii", "int", "long", "float", "double");

    private static final Pattern TOKEN = Pattern.compile(
            "\\s*(?:(?<number>(?:\\d[\\d_]*\\.?[\\d_]*|\\.\\d[\\d_]*)(?:[eE][+-]?\\d+)?[LlFfDd]?(?![\\w.]))"
                    + "|(?<name>[A-Za-z_]\\w*)(?<call>\\s*\\()?"
                    + "|(?<text>`[^`\\\\\\r\\n]*`|'[^'\\\\\\r\\n]*')"
                    + "|(?<sign>==|!=|<=|>=|&&|\\|\\||[-+*/%<>=!?:(),]))");
    private static final Pattern ASSIGNED = Pattern.compile("\\s*([A-Za-z_]\\w*)\\s*=(?!=)(.*)", Pattern.DOTALL);

    /** What arithmetic may make of a column's values. */
    enum Kind {
        /** Numbers of 64 bits, times, and yes or no: the results are no larger. */
        PLAIN,
        /** Numbers without a bound on their digits: each product has those of both factors. */
        BIG,
        /** Strings and everything else: each sum of strings is as long as both. */
        OTHER;

        static EnumSet<Kind> of(Class<?> type) {
            if (type.isPrimitive() || type == Boolean.class || type == Instant.class) {
                return EnumSet.of(PLAIN);
            }
            return EnumSet.of(type == BigDecimal.class || type == BigInteger.class ? BIG : OTHER);
        }
    }

    private Formula() {}

    /** Check what `update_view`, `view` and the like get; a later column may use an earlier one. */
    static void checkColumns(List<?> specifications, Map<String, EnumSet<Kind>> columns) {
        if (specifications.size() > MOST_COLUMNS) {
            throw Refusal.tooMuch(specifications.size() + " columns in one request; " + MOST_COLUMNS + " are allowed");
        }
        for (Object each : specifications) {
            String specification = (String) each;
            checkLength(specification);
            Matcher assigned = ASSIGNED.matcher(specification);
            if (assigned.matches()) {
                columns.put(assigned.group(1), check(assigned.group(2), columns));
            } else {
                check(specification, columns);
            }
            count(specification);
        }
    }

    /** Check what `where` gets. */
    static void checkFilter(String filter, Map<String, EnumSet<Kind>> columns) {
        checkLength(filter);
        check(filter, columns);
        count(filter);
    }

    private static void checkLength(String formula) {
        if (formula.length() > LONGEST) {
            throw Refusal.tooMuch("a formula of " + formula.length() + " characters; " + LONGEST + " are allowed");
        }
    }

    private static void count(String formula) {
        if (!seen.contains(formula) && seen.size() >= MOST_DIFFERENT) {
            throw Refusal.tooMuch("this view-only server has compiled " + MOST_DIFFERENT + " formulas and takes no new one");
        }
        seen.add(formula);
    }

    /** Return the kinds of what the formula mentions. */
    private static EnumSet<Kind> check(String formula, Map<String, EnumSet<Kind>> columns) {
        EnumSet<Kind> kinds = EnumSet.noneOf(Kind.class);
        boolean adds = false;
        boolean multiplies = false;
        boolean afterMinus = false;
        int depth = 0;
        Matcher token = TOKEN.matcher(formula);
        int at = 0;
        int end = formula.stripTrailing().length();
        while (at < end) {
            token.region(at, end);
            if (!token.lookingAt()) {
                throw refused(formula, "at " + shown(formula.substring(at).strip()));
            }
            at = token.end();
            String name = token.group("name");
            String sign = token.group("sign");
            if (token.group("text") != null) {
                kinds.add(Kind.OTHER);
            } else if (name != null && token.group("call") != null) {
                // After `in` and `not` comes a bracket too.
                if (!FUNCTIONS.contains(name) && !WORDS.contains(name)) {
                    throw refused(formula, "the function " + name);
                }
                depth++;
            } else if (name != null && columns.containsKey(name)) {
                kinds.addAll(columns.get(name));
            } else if (name != null && !WORDS.contains(name)) {
                throw refused(formula, "the name " + name + ", which is no column of its table");
            } else if (sign != null) {
                if (sign.startsWith(">") && afterMinus) {
                    throw refused(formula, "->");
                }
                adds |= sign.equals("+");
                multiplies |= sign.equals("*") || sign.equals("/") || sign.equals("%");
                depth += sign.equals("(") ? 1 : 0;
            }
            afterMinus = "-".equals(sign);
            if (depth > DEEPEST) {
                throw refused(formula, "more than " + DEEPEST + " brackets and calls");
            }
        }
        if (kinds.contains(Kind.OTHER) && adds) {
            throw refused(formula, "+ beside text");
        }
        if (kinds.contains(Kind.BIG) && multiplies) {
            throw refused(formula, "*, / or % beside numbers without a bound on their digits");
        }
        return kinds;
    }

    private static RuntimeException refused(String formula, String reason) {
        return Refusal.because("a view-only server does not compute " + shown(formula) + ": it does not allow " + reason);
    }

    static String shown(String text) {
        return text.length() > 100 ? text.substring(0, 100) + "…" : text;
    }
}
