// The API's description, drawn by Swagger UI from this server's own files.
const token = document.querySelector('meta[name="csrf-token"]')?.content;

SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#swagger-ui",
  docExpansion: "list",
  deepLinking: true,
  validatorUrl: null, // it would send the description to another server
  requestInterceptor: (request) => {
    if (token && new URL(request.url, location.href).origin === location.origin) {
      request.headers["X-CSRF-Token"] = token;
    }
    return request;
  },
});
