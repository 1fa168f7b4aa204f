// Java's java.net.http.HttpClient, which answers the proxy's challenge. Run as `java WithHttpClient.java`.

import java.io.FileInputStream;
import java.net.Authenticator;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class WithHttpClient {
    public static void main(String[] arguments) throws Exception {
        boolean http2 = env("HTTP_VERSION").equals("2");
        HttpClient client = HttpClient.newBuilder()
            .version(http2 ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1)
            .proxy(ProxySelector.of(new InetSocketAddress(env("PROXY_HOST"), Integer.parseInt(env("PROXY_PORT")))))
            .authenticator(new Login())
            .sslContext(trusting(env("CA_FILE")))
            .build();
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(env("URL")))
            .POST(HttpRequest.BodyPublishers.ofString(env("BODY")));
        env("HEADERS").lines().map(line -> line.split(": ", 2)).forEach(field -> request.header(field[0], field[1]));
        var answer = client.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
        byte[] piece = new byte[65536];
        for (int length; (length = answer.body().read(piece)) >= 0; ) {
            System.out.write(piece, 0, length);
            System.out.flush();
        }
        String version = answer.version() == HttpClient.Version.HTTP_2 ? "2" : "1.1";
        System.err.println("HTTP/" + version + " " + answer.statusCode());
        System.exit(0);
    }

    private static String env(String name) {
        return System.getenv(name);
    }

    private static SSLContext trusting(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (var stream = new FileInputStream(file)) {
            store.setCertificateEntry("proxy", CertificateFactory.getInstance("X.509").generateCertificate(stream));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static final class Login extends Authenticator {
        @Override
        protected PasswordAuthentication getPasswordAuthentication() {
            System.err.println("407: " + getRequestingPrompt() + " asks for a password");
            return new PasswordAuthentication(env("PROXY_USER"), env("PROXY_PASSWORD").toCharArray());
        }
    }
}
