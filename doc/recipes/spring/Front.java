// Spring before smart_fhir_oauth, for programs whose every statement is in a transaction (JPA, @Transactional): burn in one, redeem in
// the next. Spring's JdbcTemplate and TransactionTemplate over the JDK's HTTP server; with Spring MVC the handler is a @PostMapping whose
// method is not @Transactional. Environment: PORT, BASE, JDBC_URL, and a password for each role.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.postgresql.ds.PGSimpleDataSource;
import org.postgresql.util.PSQLException;
import org.springframework.dao.DataAccessException;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.datasource.DataSourceTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;

public class Front
{
	private record Pool(JdbcTemplate jdbc, TransactionTemplate transaction) {}
	private record Answer(int status, String[] names, String[] values, String body) {}

	// In production a pool such as HikariCP; autoCommit may be off there.
	private static Pool pool(String user)
	{
		PGSimpleDataSource source = new PGSimpleDataSource();
		source.setUrl(System.getenv("JDBC_URL"));
		source.setUser(user);
		source.setPassword(System.getenv("PASSWORD"));
		return new Pool(new JdbcTemplate(source), new TransactionTemplate(new DataSourceTransactionManager(source)));
	}
	private static final Pool protocol = pool("front_protocol");
	private static final Pool fhir = pool("front_fhir");

	// ---- requests ----

	// One name or value of a form; bad UTF-8 and bad escapes are errors, not replaced.
	private static String decode(String part) throws IOException
	{
		ByteArrayOutputStream bytes = new ByteArrayOutputStream();
		for (int i = 0; i < part.length(); i++)
		{
			char c = part.charAt(i);
			if (c == '+')
				bytes.write(' ');
			else if (c == '%')
			{
				if (i + 2 >= part.length() || Character.digit(part.charAt(i + 1), 16) < 0 || Character.digit(part.charAt(i + 2), 16) < 0)
					throw new CharacterCodingException();
				bytes.write(Integer.parseInt(part.substring(i + 1, i + 3), 16));
				i += 2;
			}
			else
				bytes.write(String.valueOf(c).getBytes(StandardCharsets.UTF_8));
		}
		String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes.toByteArray())).toString();
		if (text.indexOf('\0') >= 0)
			throw new CharacterCodingException();
		return text;
	}

	private static void send(HttpExchange exchange, int status, String body, String... headers) throws IOException
	{
		for (int i = 0; i < headers.length; i += 2)
			exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
		byte[] bytes = body == null ? new byte[0] : body.getBytes(StandardCharsets.UTF_8);
		exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
		exchange.getResponseBody().write(bytes);
		exchange.close();
	}

	// ---- programs: two transactions ----

	// What came twice is an array, for the database to refuse.
	private static final String BURN = "SELECT smart.burn(?, (SELECT coalesce(jsonb_object_agg(name, CASE cardinality(v) WHEN 1 THEN to_jsonb(v[1]) ELSE to_jsonb(v) END), '{}')"
		+ " FROM (SELECT name, array_agg(value) AS v FROM unnest(?::text[], ?::text[]) AS p (name, value) GROUP BY name) f),"
		+ " jsonb_strip_nulls(jsonb_build_object('authorization', ?::text, 'content-type', ?::text)))";
	private static final String REDEEM = "WITH a AS MATERIALIZED (SELECT smart.redeem(?) AS answer) SELECT (answer ->> 'status')::int,"
		+ " (SELECT array_agg(key ORDER BY key) FROM jsonb_each_text(answer -> 'headers')), (SELECT array_agg(value ORDER BY key) FROM jsonb_each_text(answer -> 'headers')),"
		+ " nullif(answer -> 'body', 'null')::text FROM a";

	private static void endpoint(HttpExchange exchange, String endpoint) throws IOException
	{
		List<String> names = new ArrayList<>(), values = new ArrayList<>();
		String type = exchange.getRequestHeaders().getFirst("content-type");
		try
		{
			byte[] body = exchange.getRequestBody().readNBytes(65537);
			if (!exchange.getRequestMethod().equals("POST") || type == null || !type.split(";")[0].strip().equalsIgnoreCase("application/x-www-form-urlencoded") || body.length > 65536)
				throw new CharacterCodingException();
			for (String pair : StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString().split("&"))
			{
				String[] parts = pair.split("=", 2);
				if (pair.isEmpty())
					continue;
				names.add(decode(parts[0]));
				values.add(parts.length > 1 ? decode(parts[1]) : "");
			}
		}
		catch (CharacterCodingException e)
		{
			send(exchange, 400, "{\"error\":\"invalid_request\"}", "content-type", "application/json", "cache-control", "no-store");
			return;
		}
		String receipt = protocol.transaction.execute(status -> protocol.jdbc.queryForObject(BURN, String.class, endpoint,
			names.toArray(new String[0]), values.toArray(new String[0]), exchange.getRequestHeaders().getFirst("authorization"), type));
		Answer answer = protocol.transaction.execute(status -> protocol.jdbc.queryForObject(REDEEM, (row, n) -> new Answer(row.getInt(1),
			(String[]) row.getArray(2).getArray(), (String[]) row.getArray(3).getArray(), row.getString(4)), receipt));
		for (int i = 0; i < answer.names.length; i++)
			exchange.getResponseHeaders().set(answer.names[i], answer.values[i]);
		send(exchange, answer.status, answer.body, "access-control-allow-origin", "*");
	}

	private static void document(HttpExchange exchange, String sql, Object... values) throws IOException
	{
		send(exchange, 200, protocol.jdbc.queryForObject(sql, String.class, values), "content-type", "application/json", "access-control-allow-origin", "*");
	}

	// ---- FHIR: one transaction, under the token ----

	private static void refuse(HttpExchange exchange, int status, String challenge) throws IOException
	{
		if (challenge != null)
			exchange.getResponseHeaders().set("www-authenticate", challenge);
		send(exchange, status, "{\"resourceType\":\"OperationOutcome\",\"issue\":[{\"severity\":\"error\",\"code\":\"" + (status == 404 ? "not-found" : "security") + "\"}]}", "content-type", "application/fhir+json");
	}

	private static void patient(HttpExchange exchange, String id) throws IOException
	{
		String header = exchange.getRequestHeaders().getFirst("authorization");
		Matcher token = Pattern.compile("(?i)Bearer +(\\S+)").matcher(header == null ? "" : header);
		if (!token.matches())
		{
			refuse(exchange, 401, "Bearer");
			return;
		}
		try
		{
			List<String> found = fhir.transaction.execute(status -> {
				fhir.jdbc.queryForList("SELECT 1 FROM (SELECT smart.login(?, true, 'read')) l", token.group(1));
				return fhir.jdbc.queryForList("SELECT resource::text FROM patient WHERE id = ?", String.class, id);
			});
			if (found.isEmpty())
				refuse(exchange, 404, null);
			else
				send(exchange, 200, found.get(0), "content-type", "application/fhir+json");
		}
		catch (DataAccessException e)
		{
			if (!(e.getRootCause() instanceof PSQLException cause) || cause.getServerErrorMessage() == null)
				throw e;
			if ("smart".equals(cause.getServerErrorMessage().getSchema()) && "28000".equals(cause.getSQLState()))
				refuse(exchange, 401, "Bearer error=\"invalid_token\"");
			else if ("42501".equals(cause.getSQLState()))
				refuse(exchange, 403, "Bearer error=\"insufficient_scope\"");
			else
				throw e;
		}
	}

	private static void dispatch(HttpExchange exchange) throws IOException
	{
		String path = exchange.getRequestURI().getPath();
		try
		{
			switch (path)
			{
				case "/auth/token", "/auth/introspect", "/auth/revoke" -> endpoint(exchange, path.substring(6));
				case "/auth/jwks" -> document(exchange, "SELECT smart.server_jwks()::text");
				case "/auth/.well-known/openid-configuration" -> document(exchange, "SELECT smart.openid_configuration()::text");
				case "/fhir/.well-known/smart-configuration" -> document(exchange, "SELECT smart.smart_configuration(?)::text", System.getenv("BASE") + "/fhir");
				default -> {
					if (path.startsWith("/fhir/Patient/"))
						patient(exchange, path.substring(14));
					else
						send(exchange, 404, null);
				}
			}
		}
		catch (RuntimeException e)
		{
			System.err.println(e.getClass().getName());		// neither what was sent nor what the database said
			send(exchange, 500, null);
		}
	}

	public static void main(String[] arguments) throws IOException, SQLException
	{
		HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), 0);
		server.createContext("/", Front::dispatch);
		server.setExecutor(Executors.newFixedThreadPool(10));
		server.start();
		System.out.println("listening");
	}
}
