import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.SecureRandom;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Seals standard input with AES-GCM as a Java platform would. Arguments: a public RSA key in DER to
 * wrap a new key for, or a file with a base64 secret, the size of the iv, and "bare" for no envelope.
 */
class Seal {
    public static void main(String[] args) throws Exception {
        boolean wrap = args.length == 1;
        byte[] file = Files.readAllBytes(Path.of(args[0]));
        byte[] key = wrap ? random(32) : Base64.getDecoder().decode(file);
        byte[] iv = random(wrap ? 16 : Integer.parseInt(args[1]));

        Cipher aes = Cipher.getInstance("AES/GCM/NoPadding");
        aes.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, iv));
        byte[] p = aes.doFinal(System.in.readAllBytes());

        if (args.length == 3) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            out.write(iv);
            out.write(p);
            System.out.print(text(out.toByteArray()));
            return;
        }
        String wrapped = "";
        if (wrap) {
            Cipher rsa = Cipher.getInstance("RSA/ECB/OAEPWithSHA-256AndMGF1Padding");
            rsa.init(Cipher.ENCRYPT_MODE, KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(file)));
            wrapped = text(rsa.doFinal(key));
        }
        System.out.printf("{\"key\":\"%s\",\"iv\":\"%s\",\"p\":\"%s\"}", wrapped, text(iv), text(p));
    }

    static byte[] random(int n) {
        byte[] b = new byte[n];
        new SecureRandom().nextBytes(b);
        return b;
    }

    static String text(byte[] b) {
        return Base64.getEncoder().encodeToString(b);
    }
}
