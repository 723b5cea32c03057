/*
 * src/fhir/search_date.c
 *		Date parameters: FHIR's implied intervals and the prefixes over them (R4 search, date).
 *
 * Where no zone is given UTC is meant, whatever the session's TimeZone: the answer must not
 * depend on a setting. What is no date, dateTime, instant, Period or Timing matches nothing,
 * "ne" included.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/datetime.h"

#include "fhir/search.h"

#define OPEN_LOW PG_INT64_MIN
#define OPEN_HIGH PG_INT64_MAX

/* Exactly n digits at *at, which moves behind them. */
static bool
read_digits(FhirText text, int *at, int n, int *number)
{
	int result = 0;

	if (text.len - *at < n)
		return false;
	for (int i = 0; i < n; i++)
	{
		char c = text.data[*at + i];

		if (c < '0' || c > '9')
			return false;
		result = result * 10 + (c - '0');
	}
	*at += n;
	*number = result;
	return true;
}

static bool
read_char(FhirText text, int *at, char c)
{
	if (*at >= text.len || text.data[*at] != c)
		return false;
	(*at)++;
	return true;
}

/* "Z" or "+hh:mm" up to 14:00; none is UTC. The offset comes in microseconds. */
static bool
read_zone(FhirText text, int *at, int64 *offset)
{
	bool negative;
	int hour;
	int minute;

	*offset = 0;
	if (*at == text.len || read_char(text, at, 'Z'))
		return true;
	negative = read_char(text, at, '-');
	if (!negative && !read_char(text, at, '+'))
		return false;
	if (!read_digits(text, at, 2, &hour) || !read_char(text, at, ':') ||
		!read_digits(text, at, 2, &minute) || minute > 59 || hour * 60 + minute > 14 * 60)
		return false;
	*offset = (int64) (hour * 60 + minute) * USECS_PER_MINUTE;
	if (negative)
		*offset = -*offset;
	return true;
}

/*
 * Fraction after the point. Digits beyond the sixth narrow nothing: an element with more
 * lies within a microsecond, and no compiled value has more, so comparisons stay exact.
 */
static bool
read_fraction(FhirText text, int *at, int64 *fraction, int64 *width)
{
	int first = *at;

	*fraction = 0;
	*width = USECS_PER_SEC;
	for (; *at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++)
	{
		if (*width > 1)
		{
			*width /= 10;
			*fraction += (text.data[*at] - '0') * *width;
		}
	}
	return *at > first;
}

/* hh:mm[:ss[.f]][zone] after the T of a day that begins at midnight. */
static bool
parse_time(FhirText text, int at, int64 midnight, FhirInterval *interval)
{
	int hour;
	int minute;
	int second = 0;
	int64 fraction = 0;
	int64 width = USECS_PER_MINUTE;
	int64 offset;

	if (!read_digits(text, &at, 2, &hour) || hour > 23 || !read_char(text, &at, ':') ||
		!read_digits(text, &at, 2, &minute) || minute > 59)
		return false;
	if (read_char(text, &at, ':'))
	{
		/* FHIR allows the leap second. */
		if (!read_digits(text, &at, 2, &second) || second > 60)
			return false;
		width = USECS_PER_SEC;
		if (read_char(text, &at, '.') && !read_fraction(text, &at, &fraction, &width))
			return false;
	}
	if (!read_zone(text, &at, &offset) || at != text.len)
		return false;
	interval->low = midnight + hour * USECS_PER_HOUR + minute * USECS_PER_MINUTE +
					second * USECS_PER_SEC + fraction - offset;
	interval->high = interval->low + width;
	return true;
}

static int64
day_start(int year, int month, int day)
{
	return (int64) (date2j(year, month, day) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/* YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.f]][zone], with a real calendar date. */
static bool
parse_date(FhirText text, FhirInterval *interval)
{
	int at = 0;
	int year;
	int month;
	int day;

	if (!read_digits(text, &at, 4, &year) || year < 1)
		return false;
	if (at == text.len)
	{
		*interval = (FhirInterval){day_start(year, 1, 1), day_start(year + 1, 1, 1)};
		return true;
	}
	if (!read_char(text, &at, '-') || !read_digits(text, &at, 2, &month) || month < 1 || month > 12)
		return false;
	if (at == text.len)
	{
		*interval =
			(FhirInterval){day_start(year, month, 1),
						   month == 12 ? day_start(year + 1, 1, 1) : day_start(year, month + 1, 1)};
		return true;
	}
	if (!read_char(text, &at, '-') || !read_digits(text, &at, 2, &day) || day < 1 ||
		day > day_tab[isleap(year)][month - 1])
		return false;
	interval->low = day_start(year, month, day);
	interval->high = interval->low + USECS_PER_DAY;
	if (at == text.len)
		return true;
	return read_char(text, &at, 'T') && parse_time(text, at, interval->low, interval);
}

bool
fhir_date_compile(FhirText raw, char *buffer, FhirAlternative *alternative, const char **reason)
{
	static const struct
	{
		char name[3];
		FhirPrefix prefix;
	} prefixes[] = {{"eq", FHIR_EQ},
					{"ne", FHIR_NE},
					{"gt", FHIR_GT},
					{"lt", FHIR_LT},
					{"ge", FHIR_GE},
					{"le", FHIR_LE},
					{"sa", FHIR_SA},
					{"eb", FHIR_EB}};
	FhirText text = raw;
	const char *point;

	alternative->prefix = FHIR_EQ;
	for (int i = 0; i < (int) lengthof(prefixes); i++)
	{
		if (text.len > 2 && memcmp(text.data, prefixes[i].name, 2) == 0)
		{
			alternative->prefix = prefixes[i].prefix;
			text.data += 2;
			text.len -= 2;
			break;
		}
	}
	point = memchr(text.data, '.', text.len);
	if (point != NULL && text.data + text.len - point > 7 && strspn(point + 1, "0123456789") > 6)
	{
		*reason = "more than six digits of a second's fraction";
		return false;
	}
	if (parse_date(text, &alternative->interval))
		return true;
	*reason = text.len > 2 && memcmp(text.data, "ap", 2) == 0 ? "the prefix ap is not supported"
															  : "not a date";
	return false;
}

static bool
interval_meets(const FhirConstraint *constraint, FhirInterval found)
{
	for (int i = 0; i < constraint->n; i++)
	{
		FhirInterval wanted = constraint->alternatives[i].interval;
		bool contained = wanted.low <= found.low && found.high <= wanted.high;
		bool meets = false;

		switch (constraint->alternatives[i].prefix)
		{
			case FHIR_EQ:
				meets = contained;
				break;
			case FHIR_NE:
				meets = !contained;
				break;
			case FHIR_GT:
				meets = found.high > wanted.high;
				break;
			case FHIR_LT:
				meets = found.low < wanted.low;
				break;
			case FHIR_GE:
				meets = found.high > wanted.high || contained;
				break;
			case FHIR_LE:
				meets = found.low < wanted.low || contained;
				break;
			case FHIR_SA:
				meets = found.low >= wanted.high;
				break;
			case FHIR_EB:
				meets = found.high <= wanted.low;
				break;
		}
		if (meets)
			return true;
	}
	return false;
}

static bool
parse_date_value(const JsonbValue *value, FhirInterval *interval)
{
	return value->type == jbvString &&
		   parse_date((FhirText){value->val.string.val, value->val.string.len}, interval);
}

/* A Period; an end that is absent is open. */
static bool
read_period(const JsonbValue *value, FhirInterval *interval)
{
	FhirInterval bound;
	JsonbValue member;
	bool has_start = fhir_member_literal(value, "start", &member);
	bool has_end;

	interval->low = OPEN_LOW;
	interval->high = OPEN_HIGH;
	if (has_start)
	{
		if (!parse_date_value(&member, &bound))
			return false;
		interval->low = bound.low;
	}
	has_end = fhir_member_literal(value, "end", &member);
	if (has_end)
	{
		if (!parse_date_value(&member, &bound))
			return false;
		interval->high = bound.high;
	}
	return (has_start || has_end) && interval->low < interval->high;
}

typedef struct Limits
{
	FhirInterval interval;
	bool valid;
} Limits;

static bool
widen(const JsonbValue *value, void *arg)
{
	Limits *limits = arg;
	FhirInterval event;

	if (!parse_date_value(value, &event))
	{
		limits->valid = false;
		return true;
	}
	limits->interval.low = Min(limits->interval.low, event.low);
	limits->interval.high = Max(limits->interval.high, event.high);
	return false;
}

/* The outer limits of a Timing: its events and the period that bounds its repeats. */
static bool
read_timing(const JsonbValue *value, FhirInterval *interval)
{
	Limits limits = {{OPEN_HIGH, OPEN_LOW}, true};
	FhirInterval period;
	JsonbValue member;
	JsonbValue bounds;

	if (fhir_member_literal(value, "event", &member))
		fhir_each(&member, widen, &limits);
	if (fhir_member_literal(value, "repeat", &member) &&
		fhir_member_literal(&member, "boundsPeriod", &bounds))
	{
		if (!read_period(&bounds, &period))
			return false;
		limits.interval.low = Min(limits.interval.low, period.low);
		limits.interval.high = Max(limits.interval.high, period.high);
	}
	*interval = limits.interval;
	return limits.valid && interval->low < interval->high;
}

bool
fhir_date_match(const JsonbValue *value, void *arg)
{
	const FhirMatch *match = arg;
	FhirInterval interval;
	bool valid = false;

	switch ((FhirElement) match->path->element)
	{
		case FHIR_ELEMENT_DATE_TIME:
			valid = parse_date_value(value, &interval);
			break;
		case FHIR_ELEMENT_PERIOD:
			valid = read_period(value, &interval);
			break;
		case FHIR_ELEMENT_TIMING:
			valid = read_timing(value, &interval);
			break;
		default:
			break;
	}
	return valid && interval_meets(match->constraint, interval);
}
